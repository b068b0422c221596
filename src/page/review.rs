//! Requests for review: what somebody wrote into the form, kept for those who
//! answer, and readable for nobody else.
//!
//! A file on a hotspot with names that are blocked would be a directory of
//! them, so each request is encrypted before it is written.

use std::fs::{FileTimes, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use signed_list::name::Name;
use signed_list::review::{EXTENSION, Review, VERSION};

use crate::config::Reviews;

/// Requests that may wait in the directory; more of them are not read by anybody.
const MOST: usize = 5_000;
/// Requests that may come at once, and the time after which there may be one
/// more. It is not by visitor: nothing about them is kept.
const BURST: u32 = 30;
const PAUSE: Duration = Duration::from_secs(10);
/// Digits of a code: without those that are taken for others (Crockford).
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A number for a page, as in `K7F2-9QXM`: enough to find a request by, and
/// nothing that it could be guessed from.
pub(super) fn code() -> String {
    let random = getrandom::u64().expect("the system has random numbers");
    let digit = |at: u32| char::from(DIGITS[(random >> (5 * at) & 31) as usize]);
    (0..4).map(digit).chain(['-']).chain((4..8).map(digit)).collect()
}

/// Whether it is one of [`code`].
pub(super) fn is_code(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 9 && bytes[4] == b'-' && bytes.iter().enumerate().all(|(at, b)| at == 4 || DIGITS.contains(b))
}

/// The site in what somebody wrote: a name, or the address of a page.
pub(super) fn site(text: &str) -> Option<Name> {
    let text = text.trim();
    let behind = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = behind.split(['/', '?', '#', ':']).next()?;
    let name = Name::parse(host).ok()?;
    (name.labels() > 1 && host.parse::<std::net::IpAddr>().is_err()).then_some(name)
}

/// Takes requests.
#[derive(Default)]
pub struct Desk {
    /// When the last one came, and how many may still come at once.
    budget: Mutex<Option<(Instant, u32)>>,
}

impl Desk {
    /// Keeps a request; `false` if it cannot be kept now.
    pub(super) async fn take(self: &Arc<Self>, reviews: &Reviews, scheme: &str, code: &str, site: &Name) -> bool {
        if !self.may_take(Instant::now()) {
            return false;
        }
        let day = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400 * 86_400);
        let review = Review { version: VERSION, scheme: scheme.into(), code: code.into(), site: site.to_string(), day };
        let reviews = reviews.clone();
        let kept = tokio::task::spawn_blocking(move || keep(&reviews, &review)).await;
        match kept {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(%error, "a request for review could not be kept");
                false
            }
            Err(_) => false,
        }
    }

    fn may_take(&self, now: Instant) -> bool {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, left) = budget.unwrap_or((now, BURST));
        let more = (now.duration_since(since).as_secs() / PAUSE.as_secs()) as u32;
        let left = left.saturating_add(more).min(BURST);
        let since = if more > 0 { now } else { since };
        *budget = Some((since, left.saturating_sub(1)));
        left > 0
    }
}

fn keep(reviews: &Reviews, review: &Review) -> io::Result<()> {
    let is_review = |entry: &io::Result<std::fs::DirEntry>| {
        entry.as_ref().is_ok_and(|entry| entry.path().extension().is_some_and(|it| it == EXTENSION))
    };
    let waiting = std::fs::read_dir(&reviews.directory)?.filter(is_review).count();
    if waiting >= MOST {
        return Err(io::Error::other(format!(
            "{waiting} are waiting; fetch them from {}",
            reviews.directory.display()
        )));
    }
    let recipient: age::x25519::Recipient = reviews.recipient.parse().map_err(io::Error::other)?;
    let text = serde_json::to_vec(review).map_err(io::Error::other)?;
    let sealed = age::encrypt_and_armor(&recipient, &text).map_err(io::Error::other)?;
    let day = UNIX_EPOCH + Duration::from_secs(review.day);
    write(&reviews.directory.join(format!("{}.{EXTENSION}", review.code)), sealed.as_bytes(), day)
}

/// Whoever sends the form twice has asked once. Of what cannot be written
/// nothing is left.
fn write(path: &Path, bytes: &[u8], day: SystemTime) -> io::Result<()> {
    let beside = path.with_extension("new");
    let written = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        // The second would tell who stood there.
        file.set_times(FileTimes::new().set_modified(day).set_accessed(day))?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    written().inspect_err(|_| drop(std::fs::remove_file(&beside)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_aloud_without_mistakes() {
        let codes: std::collections::BTreeSet<String> = (0..1000).map(|_| code()).collect();
        assert_eq!(codes.len(), 1000);
        assert!(codes.iter().all(|code| is_code(code) && !code.contains(['I', 'L', 'O', 'U'])));
        for no in ["", "K7F2-9QX", "K7F2_9QXM", "K7F2-9QXMM", "k7f2-9qxm", "../.-9QXM", "KÄF2-9QX"] {
            assert!(!is_code(no), "{no}");
        }
    }

    #[test]
    fn a_site_is_found_in_what_people_write() {
        for text in [
            "site.example",
            " Site.Example ",
            "https://site.example/a?b#c",
            "http://site.example:8080",
            "site.example/x",
        ] {
            assert_eq!(site(text).map(|name| name.to_string()).as_deref(), Some("site.example"), "{text}");
        }
        for no in ["", "   ", "site", "my favourite site", "192.0.2.1", "https://", "<script>", &"a.".repeat(300)] {
            assert_eq!(site(no), None, "{no}");
        }
    }

    #[test]
    fn a_flood_of_requests_leaves_the_disk_alone() {
        let (desk, now) = (Desk::default(), Instant::now());
        let taken = (0..1000).filter(|_| desk.may_take(now)).count();
        assert_eq!(taken, BURST as usize);
        assert!(!desk.may_take(now + PAUSE / 2));
        assert!(desk.may_take(now + 2 * PAUSE) && desk.may_take(now + 2 * PAUSE) && !desk.may_take(now + 2 * PAUSE));
    }

    #[test]
    fn of_what_cannot_be_written_nothing_is_left() {
        let directory = std::env::temp_dir().join(format!("friendly-review-{}", std::process::id()));
        // In the place of the file there is something that it cannot replace.
        std::fs::create_dir_all(directory.join("AAAA-0000.review/in-the-way")).unwrap();
        assert!(write(&directory.join("AAAA-0000.review"), b"sealed", UNIX_EPOCH).is_err());
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
