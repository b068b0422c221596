//! A read-only memory map of a file that only this program writes, and how it is written.
#![allow(unsafe_code)] // a map, which no library can make safe, and a call that none offers

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;

/// A mapped file.
pub struct Map(memmap2::Mmap);

impl Map {
    /// Maps a file below the `last_good` directory, or in the directory of a followed list.
    ///
    /// # Errors
    /// What the system says, for an empty file too.
    pub fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the bytes must not change while they are mapped. These files
        // are written once, beside, and renamed into place before they come
        // here; afterwards they are only ever replaced by renaming another file
        // over them or by removing it, which leaves the mapped one whole. Whoever else may write in that directory could
        // spoil what is mapped; the operator gives it to this program's user alone (see last_good in config/).
        let map = unsafe { memmap2::Mmap::map(file)? };
        Ok(Map(map))
    }
}

impl AsRef<[u8]> for Map {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Writes the next piece of a file, which begins at `from`, and has the system begin to bring it to the disk, without
/// waiting. What is left for the end is little: there all of it at once would keep the processor for milliseconds, while
/// questions wait.
///
/// # Errors
/// What the system says of writing; that it does not begin early is no error.
pub fn write_piece(mut file: &File, from: u64, piece: &[u8]) -> io::Result<()> {
    file.write_all(piece)?;
    let (from, length) = (from as libc::off64_t, piece.len() as libc::off64_t);
    // SAFETY: the descriptor is open as long as the file is borrowed, and no memory is passed.
    let _begun = unsafe { libc::sync_file_range(file.as_raw_fd(), from, length, libc::SYNC_FILE_RANGE_WRITE) };
    Ok(())
}
