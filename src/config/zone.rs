//! `[[list]]` with a `zone`: lists that are response policy zones of somebody else.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use signed_list::name::Name;

use super::address::Server;
use super::check::{plain, start};
use super::error::{Report, nearest};
use super::shape;
use super::source::{Identity, absent};
use super::{Category, Layer};

/// A list that is followed by zone transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// `[a-z0-9][a-z0-9-]{0,31}`, unique among all followed lists.
    pub name: String,
    /// The zone.
    pub zone: Name,
    /// Servers that have it; at least one.
    pub primaries: Vec<SocketAddr>,
    /// Where the key is that both sides sign with.
    pub tsig: Option<Identity>,
    /// The category that its names are of; one of the configuration, not of the legal layer.
    pub category: String,
    /// Directory for what is in force. No other list has it.
    pub state: PathBuf,
}

impl Zone {
    /// Where it comes from, for people.
    pub fn origin(&self) -> String {
        let primaries: Vec<String> = self.primaries.iter().map(ToString::to_string).collect();
        format!("dns://{}/{}", primaries.join(","), self.zone)
    }
}

/// The keys in a table that only a zone has, with their places.
pub(super) fn keys(table: &shape::Source) -> Vec<(&'static str, usize)> {
    let keys = [
        ("zone", table.zone.as_ref().map(start)),
        ("primary", Some(start(&table.primary)).filter(|at| *at > 0)),
        ("tsig", table.tsig.as_ref().map(start)),
        ("category", table.category.as_ref().map(start)),
    ];
    keys.into_iter().filter_map(|(key, at)| Some((key, at?))).collect()
}

/// One zone.
#[allow(clippy::too_many_arguments)] // each is one fact that the table is checked against
pub(super) fn zone(
    table: shape::Source,
    state: Option<PathBuf>,
    categories: &[Category],
    directory: &Path,
    title: &str,
    place: usize,
    whole: bool,
    report: &mut Report<'_>,
) -> Option<Zone> {
    let primaries = plain(table.primary.into_inner()).into_iter().map(|Server(address)| address).collect::<Vec<_>>();
    let (Some(name), Some(zone), Some(category), Some(state), false) =
        (&table.name, &table.zone, &table.category, &state, primaries.is_empty())
    else {
        let missing = [
            ("name", table.name.is_none()),
            ("zone", table.zone.is_none()),
            ("primary", primaries.is_empty()),
            ("category", table.category.is_none()),
            ("state", state.is_none()),
        ];
        absent(&missing, place, whole, report);
        return None;
    };
    let word = category.get_ref().0.0.clone();
    match categories.iter().find(|known| known.name == word) {
        None if whole => {
            let hint = match nearest(&word, categories.iter().map(|known| known.name.as_str())) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("add [category.{word}]"),
            };
            report.add(start(category), format!("'category' in {title}: there is no category \"{word}\"; {hint}"));
        }
        Some(known) if known.layer == Layer::Legal => report.add(
            start(category),
            format!(
                "'category' in {title}: \"{word}\" is of the legal layer, which no policy can allow, and a zone comes \
                 in clear and signed by nobody who may decide that; follow a repository, or name another category"
            ),
        ),
        _ => {}
    }
    Some(Zone {
        name: name.get_ref().0.0.clone(),
        zone: zone.get_ref().0.clone(),
        primaries,
        tsig: table.tsig.map(|tsig| tsig.into_inner().0.below(directory)),
        category: word,
        state: state.clone(),
    })
}
