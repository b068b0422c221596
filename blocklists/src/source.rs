//! Opens a block list and cuts it into lines: a file or standard input, plain, gzip or zstd.
//!
//! Lists are fetched from strangers, so nothing here trusts them. Packed input is told by its first octets and not by
//! the name of the file; what it may unpack to is bounded ([`MAX_UNPACKED`], [`MAX_RATIO`]), and so is a line
//! ([`MAX_LINE`]): a few kilobytes that unpack to a disk full of zeros cost a moment and not the machine.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};
use std::path::Path;
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use thiserror::Error;

/// The most octets one input may have after unpacking: 1 GiB, some 50 million names, which take 1.5 GiB of memory.
pub const MAX_UNPACKED: u64 = 1 << 30;
/// How many times its own size a packed input may unpack to. Real lists reach 30; a bomb of zeros a thousand.
pub const MAX_RATIO: u64 = 200;
/// Up to here nobody asks for the ratio: small files of few different names pack very well.
const RATIO_COUNTS_FROM: u64 = 16 << 20;
/// The longest line in octets; the longest rules of real lists have some 10,000.
pub const MAX_LINE: usize = 64 << 10;
/// How much of an input [`Source::head`] shows.
const HEAD: u64 = 64 << 10;
/// The widest window a zstd frame may ask for: what `zstd --long` needs at most.
const MAX_WINDOW: u64 = 1 << 27;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Why an input cannot be read.
#[derive(Debug, Error)]
pub enum SourceError {
    /// It does not open.
    #[error("{name}: cannot be opened: {error}")]
    Open {
        /// The input as the user named it.
        name: String,
        /// What the system said.
        error: io::Error,
    },
    /// A folder stands where a file should.
    #[error("{name}: is a directory; name the list files in it")]
    Directory {
        /// The input as the user named it.
        name: String,
    },
    /// Reading or unpacking failed on the way.
    #[error("{name}: cannot be read any further after line {line}: {error}; fetch the file again")]
    Read {
        /// The input as the user named it.
        name: String,
        /// The last whole line that could be read.
        line: u64,
        /// What the system or the unpacker said.
        error: io::Error,
    },
}

/// One line of an input, without its end.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Counted from 1.
    pub number: u64,
    /// What stands there.
    pub text: Result<&'a str, LineFault<'a>>,
}

/// A line that is no text.
#[derive(Debug, PartialEq, Eq)]
pub enum LineFault<'a> {
    /// Longer than [`MAX_LINE`]; the rest was read and dropped.
    TooLong,
    /// Not UTF-8; the octets as they are.
    NotUtf8(&'a [u8]),
}

/// The head once more, and what follows it.
type Whole = Chain<Cursor<Rc<[u8]>>, Box<dyn Read>>;

/// An open input.
pub struct Source {
    name: String,
    size: Option<u64>,
    taken: Rc<Cell<u64>>,
    head: Rc<[u8]>,
    reader: BufReader<Whole>,
    line: Vec<u8>,
    number: u64,
}

impl Source {
    /// Opens a file, or standard input for `-`, and reads its first octets.
    pub fn open(path: &Path) -> Result<Source, SourceError> {
        if path.as_os_str() == "-" {
            return Source::new("standard input".into(), None, Box::new(io::stdin().lock()));
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| SourceError::Open { name: name.clone(), error })?;
        let about = file.metadata().map_err(|error| SourceError::Open { name: name.clone(), error })?;
        if about.is_dir() {
            return Err(SourceError::Directory { name });
        }
        Source::new(name, about.is_file().then_some(about.len()), Box::new(file))
    }

    /// Reads from anything; `size` is how many octets will come, if that is known.
    pub fn new(name: String, size: Option<u64>, raw: Box<dyn Read>) -> Result<Source, SourceError> {
        Source::bounded(name, size, raw, MAX_UNPACKED)
    }

    /// The same with a bound of one's own on what it unpacks to.
    pub fn bounded(name: String, size: Option<u64>, raw: Box<dyn Read>, most: u64) -> Result<Source, SourceError> {
        let taken = Rc::new(Cell::new(0));
        let counted = Counted { inner: raw, taken: taken.clone() };
        let failed = |error| SourceError::Read { name: name.clone(), line: 0, error };

        let mut unpacked = unpack(counted, most).map_err(failed)?;
        let head: Rc<[u8]> = first_octets(&mut unpacked, HEAD).map_err(failed)?.into();
        let whole = Cursor::new(head.clone()).chain(unpacked);
        let reader = BufReader::with_capacity(1 << 20, whole);
        Ok(Source { name, size, taken, head, reader, line: Vec::new(), number: 0 })
    }

    /// The input as the user named it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Octets of the file as it lies on disk; `None` for a pipe.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Octets taken from the file so far, before unpacking.
    pub fn taken(&self) -> u64 {
        self.taken.get()
    }

    /// Lines read so far.
    pub fn lines(&self) -> u64 {
        self.number
    }

    /// The first 64 KiB after unpacking, however far the lines have been read.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The next line, or `None` at the end.
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>, SourceError> {
        self.line.clear();
        let too_long = match self.read_line() {
            Ok(too_long) => too_long,
            Err(error) => return Err(SourceError::Read { name: self.name.clone(), line: self.number, error }),
        };
        if self.line.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let mut octets = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        octets = octets.strip_suffix(b"\r").unwrap_or(octets);
        if self.number == 1 {
            octets = octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets);
        }
        let text = if too_long {
            Err(LineFault::TooLong)
        } else {
            std::str::from_utf8(octets).map_err(|_| LineFault::NotUtf8(octets))
        };
        Ok(Some(Line { number: self.number, text }))
    }

    /// Fills `self.line`; says whether the line was too long to keep.
    fn read_line(&mut self) -> io::Result<bool> {
        let limit = MAX_LINE as u64 + 1; // and its end
        (&mut self.reader).take(limit).read_until(b'\n', &mut self.line)?;
        if self.line.len() <= MAX_LINE || self.line.ends_with(b"\n") {
            return Ok(false);
        }
        self.reader.skip_until(b'\n')?;
        Ok(true)
    }
}

/// Counts the octets of the file itself: for the progress bar, and for the ratio that gives a bomb away.
struct Counted<R> {
    inner: R,
    taken: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.taken.set(self.taken.get() + read as u64);
        Ok(read)
    }
}

/// Puts the unpacker that the first octets ask for, and the bounds, on top of a raw input.
fn unpack(mut raw: Counted<Box<dyn Read>>, most: u64) -> io::Result<Box<dyn Read>> {
    let taken = raw.taken.clone();
    let magic = first_octets(&mut raw, 4)?;
    let (gzip, zstd) = (magic.starts_with(&GZIP), magic.starts_with(&ZSTD));
    let raw = BufReader::with_capacity(256 << 10, Cursor::new(magic).chain(raw));
    let inner: Box<dyn Read> = if gzip {
        Box::new(MultiGzDecoder::new(raw))
    } else if zstd {
        Box::new(ZstdFrames::new(raw))
    } else {
        Box::new(raw)
    };
    Ok(Box::new(Bounded { inner, most, given: 0, packed: (gzip || zstd).then_some(taken) }))
}

/// Reads `count` octets, or as many as there are: a pipe gives what it has.
fn first_octets(reader: &mut impl Read, count: u64) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    reader.take(count).read_to_end(&mut octets)?;
    Ok(octets)
}

/// Stops an input that is too large or unpacks to far more than a list would.
struct Bounded {
    inner: Box<dyn Read>,
    most: u64,
    given: u64,
    /// Octets taken from the packed file; `None` when it is not packed.
    packed: Option<Rc<Cell<u64>>>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.given += read as u64;
        if self.given > self.most {
            return Err(io::Error::other(format!("it holds more than {} MiB, which is the limit", self.most >> 20)));
        }
        if let Some(taken) = &self.packed
            && self.given > RATIO_COUNTS_FROM
            && self.given / MAX_RATIO > taken.get()
        {
            return Err(io::Error::other(format!(
                "it unpacks to more than {MAX_RATIO} times its size, as no list does"
            )));
        }
        Ok(read)
    }
}

/// The frames of a zstd file one after the other, as if they were one (RFC 8878 section 3).
struct ZstdFrames<R> {
    raw: R,
    decoder: FrameDecoder,
    inside: bool,
}

impl<R: BufRead> ZstdFrames<R> {
    fn new(raw: R) -> ZstdFrames<R> {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW);
        ZstdFrames { raw, decoder, inside: false }
    }

    /// Goes to the next frame; says whether there is one.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.raw.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.raw) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    io::copy(&mut (&mut self.raw).take(length.into()), &mut io::sink())?;
                }
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
        Ok(false)
    }

    fn end_frame(&self) -> io::Result<()> {
        match (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum()) {
            (Some(said), Some(found)) if said != found => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "the zstd checksum is wrong: the file is damaged"))
            }
            _ => Ok(()),
        }
    }
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.inside {
                self.inside = self.next_frame()?;
                if !self.inside {
                    return Ok(0);
                }
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.raw, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.end_frame()?;
            self.inside = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    use std::io::Write;

    fn lines(octets: Vec<u8>) -> Result<Vec<String>, SourceError> {
        let mut source = Source::new("test".into(), None, Box::new(Cursor::new(octets)))?;
        let mut lines = Vec::new();
        while let Some(line) = source.next_line()? {
            lines.push(match line.text {
                Ok(text) => text.to_owned(),
                Err(fault) => format!("{}: {fault:?}", line.number),
            });
        }
        Ok(lines)
    }

    fn gzip(octets: &[u8]) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        packer.write_all(octets).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn cuts_lines_whatever_ends_them() {
        assert_eq!(lines(b"\xef\xbb\xbfa\r\n\nb".to_vec()).unwrap(), ["a", "", "b"]);
        assert_eq!(lines(Vec::new()).unwrap(), [""; 0]);
    }

    #[test]
    fn a_line_that_is_no_text_is_told_and_the_next_one_is_read() {
        let mut octets = vec![b'x'; MAX_LINE + 10];
        octets.extend(b"\n\xff\nend.test\n");
        assert_eq!(lines(octets).unwrap(), ["1: TooLong", "2: NotUtf8([255])", "end.test"]);
    }

    #[test]
    fn a_line_of_the_greatest_length_is_read() {
        let mut octets = vec![b'x'; MAX_LINE];
        octets.extend(b"\nend.test\n");
        let lines = lines(octets).unwrap();
        assert_eq!((lines[0].len(), lines[1].as_str()), (MAX_LINE, "end.test"));
    }

    #[test]
    fn unpacks_all_members_of_a_gzip_and_all_frames_of_a_zstd_file() {
        let two = [gzip(b"a.test\n"), gzip(b"b.test\n")].concat();
        assert_eq!(lines(two).unwrap(), ["a.test", "b.test"]);

        let frame = |text: &[u8]| compress_to_vec(text, CompressionLevel::Fastest);
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9];
        let two = [&frame(b"a.test\n")[..], &skippable, &frame(b"b.test\n")].concat();
        assert_eq!(lines(two).unwrap(), ["a.test", "b.test"]);
    }

    #[test]
    fn a_packed_file_cut_short_is_an_error() {
        let text = "name.test\n".repeat(40_000);
        for packed in [gzip(text.as_bytes()), compress_to_vec(text.as_bytes(), CompressionLevel::Fastest)] {
            let cut = packed[..packed.len() / 2].to_vec();
            assert!(lines(cut).unwrap_err().to_string().contains("cannot be read any further"));
        }
    }

    #[test]
    fn a_bomb_is_stopped_early() {
        let packed = gzip(&vec![b'0'; 64 << 20]);
        assert!(packed.len() < 100_000);
        assert!(lines(packed).unwrap_err().to_string().contains("200 times its size"));
    }
}
