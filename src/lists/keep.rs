//! The copy of a good list, made while the list is checked.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use signed_list::list::{CheckError, Checked, List};

use super::Bytes;
use super::map::{Map, write_piece};

/// A list that is read, and what is read becomes its copy: so what was checked
/// is what is kept, whoever writes to the list meanwhile.
///
/// The copy is written beside its place and renamed at the end: after a crash
/// at any moment the directory holds the old copy or the new one. Nothing is
/// written as long as the old copy is the same.
pub(super) struct Keeping<'a, R> {
    source: R,
    place: &'a Path,
    /// Octets read so far; all of them are in the copy.
    length: u64,
    /// Without a copy, why. The list is read on: it can do without.
    copy: io::Result<Copy>,
}

enum Copy {
    /// The old one, which is the same so far.
    Same(File),
    /// A new one.
    New(New),
}

impl<'a, R: Read> Keeping<'a, R> {
    /// Begins to read `source`, whose copy is to lie at `place`.
    pub(super) fn new(source: R, place: &'a Path) -> Self {
        // Half a copy, of a crash, and perhaps of the time before root was given up.
        drop(fs::remove_file(beside(place)));
        let copy = File::open(place).map(Copy::Same).or_else(|_| New::begin(place, 0).map(Copy::New));
        Keeping { source, place, length: 0, copy }
    }

    /// Maps the copy. For a list that was read to its end and found good.
    ///
    /// # Errors
    /// Why there is no copy.
    pub(super) fn finish(self) -> io::Result<Map> {
        let new = match self.copy? {
            Copy::Same(old) if old.metadata()?.len() == self.length => return Map::new(&old),
            // It goes on where the list ends.
            Copy::Same(_) => New::begin(self.place, self.length)?,
            Copy::New(new) => new,
        };
        new.file.sync_all()?;
        fs::rename(&new.path, self.place)?;
        // Without this the rename itself could be lost with the power.
        self.place.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())?;
        Map::new(&new.file)
    }
}

impl<R: Read> Read for Keeping<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        let followed = self.copy.as_mut().map(|copy| copy.follow(self.place, self.length, &buffer[..length]));
        if let Ok(Err(error)) = followed {
            self.copy = Err(error);
        }
        self.length += length as u64;
        Ok(length)
    }
}

impl Copy {
    /// Takes the next octets of the list, which stand behind `before` others.
    fn follow(&mut self, place: &Path, before: u64, piece: &[u8]) -> io::Result<()> {
        match self {
            Copy::Same(old) if goes_on(old, piece) => Ok(()),
            Copy::Same(_) => {
                let new = New::begin(place, before)?;
                write_piece(&new.file, before, piece)?;
                *self = Copy::New(new);
                Ok(())
            }
            Copy::New(new) => write_piece(&new.file, before, piece),
        }
    }
}

/// Whether these are the next octets of a file.
fn goes_on(mut file: &File, octets: &[u8]) -> bool {
    let mut buffer = [0; 8192];
    octets.chunks(buffer.len()).all(|octets| {
        let found = &mut buffer[..octets.len()];
        file.read_exact(found).is_ok() && found == octets
    })
}

/// A copy beside its place. Half of one takes room on a disk that may be full,
/// so it is gone when it is dropped, unless it was renamed.
struct New {
    file: File,
    path: PathBuf,
}

fn beside(place: &Path) -> PathBuf {
    place.with_extension("new")
}

impl New {
    /// Begins a copy with that many octets of the old one, which were the same:
    /// none, unless one of the two is damaged.
    fn begin(place: &Path, length: u64) -> io::Result<Self> {
        let path = beside(place);
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        let mut new = New { file, path };
        if length > 0 && io::copy(&mut File::open(place)?.take(length), &mut new.file)? < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(new)
    }
}

impl Drop for New {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}

/// The copy of an earlier list, if all of it is good. It is read for that, so
/// that mapping it does not make it resident.
pub(super) fn saved(place: &Path) -> Result<List<Bytes>, CheckError> {
    let file = File::open(place)?;
    let checked = Checked::read(&file, None)?;
    Ok(checked.over(Bytes::Mapped(Map::new(&file)?))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    /// A directory that is gone at the end, and a place for a copy in it.
    struct Place(PathBuf);

    impl Place {
        fn new(test: &str) -> Self {
            let directory = std::env::temp_dir().join(format!("friendly-keep-{}-{test}", std::process::id()));
            fs::create_dir_all(&directory).unwrap();
            Place(directory.join("copy.good"))
        }

        fn files(&self) -> usize {
            fs::read_dir(self.0.parent().unwrap()).unwrap().count()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(self.0.parent().unwrap()));
        }
    }

    fn octets(length: usize) -> Vec<u8> {
        (0..length as u32).flat_map(|i| i.wrapping_mul(0x9e37_79b9).to_le_bytes()).take(length).collect()
    }

    #[test]
    fn whatever_lay_there_the_copy_is_what_was_read_and_the_same_is_not_written_again() {
        let list = octets(30_000);
        let with = |at: usize| {
            let mut old = list.clone();
            old[at] ^= 1;
            old
        };
        let longer = [&list[..], b"x"].concat();
        let cases: [(&str, Option<Vec<u8>>); 8] = [
            ("none", None),
            ("empty", Some(Vec::new())),
            ("other at once", Some(with(0))),
            ("other in the middle", Some(with(17_000))),
            ("other at its end", Some(with(29_999))),
            ("shorter", Some(list[..20_000].to_vec())),
            ("longer", Some(longer)),
            ("the same", Some(list.clone())),
        ];
        let place = Place::new("whatever");
        for (what, old) in cases {
            drop(fs::remove_file(&place.0));
            if let Some(old) = &old {
                fs::write(&place.0, old).unwrap();
            }
            // Half of an earlier one, of a crash.
            fs::write(beside(&place.0), "half").unwrap();
            let before = fs::metadata(&place.0).map(|meta| (meta.ino(), meta.ctime_nsec())).ok();
            let mut keeping = Keeping::new(&list[..], &place.0);
            let mut read = Vec::new();
            while keeping.by_ref().take(7_000).read_to_end(&mut read).unwrap() > 0 {}
            assert!(read == list, "{what}");
            let map = keeping.finish().unwrap();
            assert!(map.as_ref() == list && fs::read(&place.0).unwrap() == list, "{what}");
            let after = fs::metadata(&place.0).map(|meta| (meta.ino(), meta.ctime_nsec())).ok();
            assert_eq!(before == after, what == "the same", "{what}");
            assert_eq!(place.files(), 1, "{what}");
        }
    }

    #[test]
    fn what_is_not_finished_leaves_the_old_copy_and_nothing_else() {
        let place = Place::new("unfinished");
        fs::write(&place.0, "old").unwrap();
        let list = octets(5_000);
        let mut keeping = Keeping::new(&list[..], &place.0);
        keeping.read_exact(&mut [0; 4_000]).unwrap();
        assert_eq!(place.files(), 2);
        drop(keeping);
        assert_eq!((place.files(), fs::read(&place.0).unwrap()), (1, b"old".to_vec()));
    }

    #[test]
    fn a_list_is_read_to_its_end_where_it_cannot_be_kept() {
        let place = Place::new("nowhere");
        let inside = place.0.join("copy.good");
        let list = octets(5_000);
        let mut keeping = Keeping::new(&list[..], &inside);
        let mut read = Vec::new();
        keeping.read_to_end(&mut read).unwrap();
        assert!(read == list);
        assert_eq!(keeping.finish().map(|_| ()).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(place.files(), 0);
    }
}
