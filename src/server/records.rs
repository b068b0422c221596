//! HTTP/2 in TLS records that end where an answer ends.
//!
//! Several answers that are ready at once leave in one system call, but each in
//! a record of its own. There are clients (dnsperf 2.10) that take one answer
//! from what they read at once and forget the others; the servers they were
//! written for never send two. It costs 22 octets for each further answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Octets of a frame's header: length, type, flags, stream (RFC 9113 section 4.1).
const HEAD: usize = 9;
const DATA: u8 = 0;
const END_STREAM: u8 = 1;

/// A connection on which what is written is cut behind each answer.
pub struct Records<S> {
    stream: S,
    place: Place,
}

/// How far into a frame the writer is.
#[derive(Clone, Copy, Default)]
struct Place {
    /// As much of a header as has been written.
    head: [u8; HEAD],
    known: usize,
    /// Octets of the frame's content that are still to come.
    left: usize,
}

impl Place {
    /// Goes on over some octets; gives how many of them there are up to the
    /// end of the first answer, or all.
    fn advance(&mut self, octets: &[u8]) -> usize {
        let mut at = 0;
        while at < octets.len() {
            if self.known < HEAD {
                self.head[self.known] = octets[at];
                self.known += 1;
                at += 1;
                if self.known < HEAD {
                    continue;
                }
                self.left =
                    usize::from(self.head[0]) << 16 | usize::from(self.head[1]) << 8 | usize::from(self.head[2]);
            }
            let step = self.left.min(octets.len() - at);
            self.left -= step;
            at += step;
            if self.left == 0 {
                self.known = 0;
                if self.head[3] == DATA && self.head[4] & END_STREAM != 0 {
                    break;
                }
            }
        }
        at
    }
}

impl<S> Records<S> {
    /// Cuts what is written to `stream`, which begins with a frame.
    pub fn new(stream: S) -> Self {
        Records { stream, place: Place::default() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Records<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Records<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let mut ahead = self.place;
        let end = ahead.advance(octets);
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &octets[..end]))?;
        self.place.advance(&octets[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, content: &[u8]) -> Vec<u8> {
        [&[0, 0, content.len() as u8, kind, flags, 0, 0, 0, 1], content].concat()
    }

    #[test]
    fn what_is_written_is_cut_behind_each_answer() {
        let answer = [frame(1, 4, b"headers"), frame(DATA, END_STREAM, b"an answer")].concat();
        let empty = frame(DATA, END_STREAM, b"");
        let all =
            [frame(4, 0, b""), answer.clone(), answer.clone(), frame(DATA, 0, b"more to come"), empty, answer].concat();
        // Whatever the stream takes of it at once.
        for most in [1, 2, 7, 9, 10, 1000] {
            let (mut place, mut rest, mut ends) = (Place::default(), &all[..], Vec::new());
            while !rest.is_empty() {
                let end = {
                    let mut ahead = place;
                    ahead.advance(rest)
                };
                let written = end.min(most);
                place.advance(&rest[..written]);
                rest = &rest[written..];
                if written == end {
                    ends.push(all.len() - rest.len());
                }
            }
            assert_eq!(ends, [43, 77, 107, 141], "{most} at a time");
        }
    }
}
