//! A read-only memory map of a file that only this program writes.
#![allow(unsafe_code)] // one call, which no library can make safe

use std::fs::File;
use std::io;

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
        // over them or by removing it, which leaves the mapped one whole. The directory belongs to this program's user
        // alone (deploy/ creates it so).
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
