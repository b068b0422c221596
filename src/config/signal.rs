//! `[scheme]`, `[structured_errors]` and `[stop_page]`: what people are told
//! where something is blocked.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::check::start;
use super::error::Report;
use super::shape;
use super::value::{Maybe, Text, Written};

/// Structured DNS errors (draft-ietf-dnsop-structured-dns-error).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StructuredErrors {
    /// Code of the empty option by which a client asks for them, beside the
    /// extended error of the older drafts; `None` = only that one.
    pub option: Option<u16>,
}

/// The page that people see in place of what is blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopPage {
    /// Addresses that serve it over HTTP; at least one.
    pub listen: Vec<SocketAddr>,
    /// What becomes of requests for review; `None` = the page has no form.
    pub reviews: Option<Reviews>,
}

/// Requests for review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviews {
    /// Where they wait to be fetched.
    pub directory: PathBuf,
    /// Who alone can read them: an age recipient.
    pub recipient: String,
}

/// A public key of age.
#[derive(Clone, Debug)]
pub(super) struct Recipient(String);

impl Written for Recipient {
    const EXPECTED: &'static str = r#"what `friendly-blocklist appeal key` prints, as in "age1...""#;
    fn read(text: &str) -> Result<Self, String> {
        match text.parse::<age::x25519::Recipient>() {
            Ok(_) => Ok(Recipient(text.to_owned())),
            Err(why) => Err(format!("this is no public key of age ({why}); write {}", Self::EXPECTED)),
        }
    }
}

/// `[structured_errors]`
pub(super) fn structured_errors(table: &shape::StructuredErrors) -> Option<StructuredErrors> {
    let option: u16 = table.option.to();
    table.enabled.then_some(StructuredErrors { option: (option != 0).then_some(option) })
}

/// `[stop_page]`
pub(super) fn stop_page(
    table: &shape::StopPage,
    directory: &Path,
    whole: bool,
    report: &mut Report<'_>,
) -> Option<StopPage> {
    let listen: Vec<SocketAddr> = table.listen.get_ref().iter().map(|address| address.get_ref().0.0).collect();
    let (Text(Maybe(reviews)), Text(Maybe(recipient))) = (table.reviews.get_ref(), table.recipient.get_ref());
    let reviews = match (reviews, recipient) {
        (None, None) => None,
        (Some(reviews), Some(recipient)) => {
            Some(Reviews { directory: directory.join(&reviews.0), recipient: recipient.0.clone() })
        }
        // What was refused is not absent.
        _ if !whole => None,
        (Some(_), None) => {
            let why = "name whoever answers them, for nobody else may read what people ask for";
            report.add(start(&table.reviews), format!("'recipient' in [stop_page] is missing; {why}"));
            None
        }
        (None, Some(_)) => {
            let why = "name a directory that requests wait in";
            report.add(start(&table.recipient), format!("'reviews' in [stop_page] is missing; {why}"));
            None
        }
    };
    if whole && listen.is_empty() && reviews.is_some() {
        report.add(start(&table.reviews), "'reviews' in [stop_page] stands without a page; add 'listen'".to_owned());
    }
    (!listen.is_empty()).then_some(StopPage { listen, reviews })
}
