//! Where log lines go: to standard error, through a thread of their own.
//!
//! A reader that stops reading (a full pipe, a hung journal) must not stop the
//! resolver, so lines are handed over without waiting and dropped, and counted,
//! when nobody takes them.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{SyncSender, sync_channel};

use tracing_subscriber::fmt::MakeWriter;

use crate::config;

/// Lines that may wait for a slow reader.
const WAITING: usize = 1024;

/// Lines that were dropped because nobody read them.
pub static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Starts logging as the configuration says. Later calls change nothing.
pub fn start(rules: &config::Log) {
    let (sender, lines) = sync_channel::<Vec<u8>>(WAITING);
    let writer = std::thread::Builder::new().name("log".into()).spawn(move || {
        for line in lines {
            // Nobody is left to be told that the log cannot be written.
            drop(io::stderr().lock().write_all(&line));
        }
    });
    drop(writer);
    let builder = tracing_subscriber::fmt().with_max_level(rules.level).with_target(false).with_writer(Lines(sender));
    drop(if rules.json { builder.json().try_init() } else { builder.with_ansi(false).try_init() });
}

struct Lines(SyncSender<Vec<u8>>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { sender: self.0.clone(), bytes: Vec::new() }
    }
}

/// One event, sent when it is complete.
struct Line {
    sender: SyncSender<Vec<u8>>,
    bytes: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.sender.try_send(std::mem::take(&mut self.bytes)).is_err() {
            DROPPED.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_nobody_takes_are_dropped_and_counted_and_the_others_are_whole() {
        let (sender, lines) = sync_channel(2);
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(Lines(sender)).finish();
        let before = DROPPED.load(Relaxed);
        tracing::subscriber::with_default(subscriber, || {
            (0..5).for_each(|number| tracing::warn!(number, "told"));
            assert_eq!(DROPPED.load(Relaxed) - before, 3);
            // Whoever reads again gets what comes from then on.
            let taken: Vec<Vec<u8>> = lines.try_iter().collect();
            let texts: Vec<_> = taken.iter().map(|line| String::from_utf8_lossy(line)).collect();
            assert!(texts.len() == 2 && texts[0].ends_with("told number=0\n"), "{texts:?}");
            tracing::warn!("again");
            assert_eq!((lines.try_iter().count(), DROPPED.load(Relaxed) - before), (1, 3));
        });
    }
}
