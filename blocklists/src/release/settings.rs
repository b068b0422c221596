//! Settings of a publisher: `release.toml` in its work directory, written by `init` with every setting and its reason.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::Deserialize;
use signed_list::name::Name;
use signed_list::release::Class;
use thiserror::Error;

use super::hold::Bounds;
use crate::transfer::NEVER_IN_CLEAR;

/// What `init` writes. A test reads it and compares it with [`Settings::default`].
pub const TEMPLATE: &str = include_str!("../../release.toml");

/// Settings of a publisher.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Version of the format, 1.
    pub version: u32,
    /// Where releases go: directories and `s3://bucket/prefix`.
    pub to: Vec<String>,
    /// How long metadata lives.
    pub expiry: Expiry,
    /// What becomes a release, and what is kept of it.
    pub release: Release,
    /// Changes of the epoch.
    pub epoch: Epochs,
    /// The jump guard.
    pub hold: Bounds,
    /// Open lists as zones, for those who run other software.
    pub zones: Zones,
}

/// How long metadata lives.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // the names say it
pub struct Expiry {
    pub timestamp_hours: u64,
    pub snapshot_hours: u64,
    pub release_days: u64,
    pub root_days: u64,
}

/// What becomes a release, and what is kept of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Release {
    /// A release at least so often, so that the ladder of canaries tells how old a list is.
    pub every_hours: u64,
    /// Releases kept in the work directory.
    pub keep: u64,
    /// How long files stay that no metadata names any more.
    pub grace_minutes: u64,
}

/// Changes of the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Epochs {
    /// An epoch ends after so many days.
    pub max_age_days: u64,
}

/// Open lists as zones, for those who run other software.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Zones {
    /// The zones are called `CLASS.ORIGIN` and `CATEGORY.ORIGIN`; empty for a name of the scheme.
    pub origin: String,
    /// The classes that are offered.
    pub classes: Vec<String>,
    /// Releases whose zones are kept, to hand out what has changed since.
    pub keep: u64,
    /// Files with TSIG keys; whoever signs with one gets all zones.
    pub keys: Vec<PathBuf>,
    /// Networks that need no key.
    pub allow: Vec<IpNet>,
    /// Subscribers that are told at once.
    pub notify: Vec<SocketAddr>,
}

impl Zones {
    /// The classes that are offered. The legal one is refused where settings are read.
    pub fn open_classes(&self) -> impl Iterator<Item = Class> {
        self.classes.iter().filter_map(|word| Class::of_word(word)).filter(|class| !class.is_sealed())
    }
}

impl Default for Zones {
    fn default() -> Zones {
        let network = |text: &str| text.parse().expect("a default can be read");
        Zones {
            origin: String::new(),
            classes: ["operator", "venue"].map(str::to_owned).into(),
            keep: 8,
            keys: Vec::new(),
            allow: vec![network("127.0.0.0/8"), network("::1/128")],
            notify: Vec::new(),
        }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            version: 1,
            to: Vec::new(),
            expiry: Expiry::default(),
            release: Release::default(),
            epoch: Epochs::default(),
            hold: Bounds::default(),
            zones: Zones::default(),
        }
    }
}

impl Default for Expiry {
    fn default() -> Expiry {
        Expiry { timestamp_hours: 24, snapshot_hours: 168, release_days: 30, root_days: 365 }
    }
}

impl Default for Release {
    fn default() -> Release {
        Release { every_hours: 24, keep: 32, grace_minutes: 60 }
    }
}

impl Default for Epochs {
    fn default() -> Epochs {
        Epochs { max_age_days: 90 }
    }
}

/// Why settings are refused; the caller adds the file's name.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum SettingsError {
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    #[error("version {0} is unknown; this program reads version 1")]
    Version(u32),
    #[error("zones.classes names the class \"{0}\", which this program does not know; write \"operator\" or \"venue\"")]
    Class(String),
    #[error("zones.classes names the class \"legal\", and {NEVER_IN_CLEAR}")]
    Legal,
    #[error("zones.origin is no name: {0}")]
    Origin(signed_list::name::NameError),
    #[error("{0} must be from {1} to {2}")]
    Range(&'static str, u64, u64),
}

impl Settings {
    /// Reads settings.
    pub fn read(text: &str) -> Result<Settings, SettingsError> {
        let settings: Settings = toml::from_str(text)?;
        if settings.version != 1 {
            return Err(SettingsError::Version(settings.version));
        }
        let Settings { expiry, release, epoch, hold, .. } = &settings;
        // Upper bounds because a lifetime is what bounds an attack by old files, and a guard that lets everything pass is
        // none; and 17 releases are needed to make the
        // 16 changes that a manifest may name.
        for (name, value, least, most) in [
            ("expiry.timestamp_hours", expiry.timestamp_hours, 1, 168),
            ("expiry.snapshot_hours", expiry.snapshot_hours, 2, 720),
            ("expiry.release_days", expiry.release_days, 1, 365),
            ("expiry.root_days", expiry.root_days, 7, 3650),
            ("release.every_hours", release.every_hours, 1, 168),
            ("release.keep", release.keep, 17, 1000),
            ("release.grace_minutes", release.grace_minutes, 1, 10_080),
            ("epoch.max_age_days", epoch.max_age_days, 1, 365),
            ("hold.entries", hold.entries, 0, 1000),
            ("hold.percent", hold.percent, 0, 50),
            ("zones.keep", settings.zones.keep, 1, 1000),
        ] {
            if !(least..=most).contains(&value) {
                return Err(SettingsError::Range(name, least, most));
            }
        }
        for word in &settings.zones.classes {
            match Class::of_word(word) {
                None => return Err(SettingsError::Class(word.clone())),
                Some(class) if class.is_sealed() => return Err(SettingsError::Legal),
                Some(_) => {}
            }
        }
        if !settings.zones.origin.is_empty() {
            Name::parse(&settings.zones.origin).map_err(SettingsError::Origin)?;
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_init_writes_holds_the_defaults() {
        assert_eq!(Settings::read(TEMPLATE).unwrap(), Settings::default());
        for word in ["timestamp_hours", "snapshot_hours", "release_days", "root_days", "every_hours", "keep"] {
            assert!(TEMPLATE.contains(&format!("\n{word} = ")), "{word}");
        }
        for word in [
            "grace_minutes",
            "max_age_days",
            "entries",
            "percent",
            "to",
            "origin",
            "classes",
            "keys",
            "allow",
            "notify",
        ] {
            assert!(TEMPLATE.contains(&format!("\n{word} = ")), "{word}");
        }
    }

    #[test]
    fn wrong_settings_are_refused_with_the_reason() {
        for (from, to, reason) in [
            ("version = 1", "version = 3", "version 3 is unknown"),
            ("keep = 32", "keep = 3", "release.keep must be from 17"),
            ("keep = 32", "kept = 32", "unknown field `kept`"),
            ("timestamp_hours = 24", "timestamp_hours = 0", "expiry.timestamp_hours must be"),
            ("entries = 50", "entries = 1001", "hold.entries must be from 0 to 1000"),
            ("percent = 5", "percent = 51", "hold.percent must be"),
            ("classes = [\"operator\"", "classes = [\"legal\"", "the legal list never leaves in clear"),
            ("classes = [\"operator\"", "classes = [\"oprator\"", "\"oprator\", which this program does not know"),
            ("origin = \"\"", "origin = \"a..b\"", "zones.origin is no name"),
        ] {
            let error = Settings::read(&TEMPLATE.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(reason), "{reason:?} is not in {error:?}");
        }
    }
}
