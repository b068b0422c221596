//! `[dnssec]`: whether answers are validated, and what is trusted.

use std::path::{Path, PathBuf};

use signed_list::name::Name;

use super::check::plain;
use super::shape;
use super::value::{Text, Written, choose};

/// Whether answers are validated, and what is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dnssec {
    /// When answers are validated.
    pub validate: Validate,
    /// File with DS or DNSKEY records; `None` = the keys of the root.
    pub trust_anchors: Option<PathBuf>,
    /// Names (subtrees) that are not validated (RFC 7646).
    pub negative_trust_anchors: Vec<Name>,
}

/// When answers are validated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Validate {
    /// From the moment that an upstream has shown the signed root.
    Auto,
    /// Always: an upstream that strips signatures is of no use.
    Strict,
    /// Never: what upstreams say of it is passed on.
    Off,
}

impl Written for Validate {
    const EXPECTED: &'static str = r#""auto", "strict" or "off""#;
    fn read(text: &str) -> Result<Self, String> {
        choose(text, &[("auto", Validate::Auto), ("strict", Validate::Strict), ("off", Validate::Off)])
    }
}

/// `[dnssec]`
pub(super) fn dnssec(table: shape::Dnssec, directory: &Path) -> Dnssec {
    let Text(trust_anchors) = table.trust_anchors;
    Dnssec {
        validate: table.validate.0,
        trust_anchors: trust_anchors.0.map(|path| directory.join(path.0)),
        negative_trust_anchors: plain(table.negative_trust_anchors),
    }
}
