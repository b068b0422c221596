//! `friendly-blocklist rollback`: back to what an older release held.

use clap::Args;
use signed_list::release::Class;

use super::Failure;
use super::place::{Place, block_on};
use super::press::{self, Keys};
use crate::release::draft::Wish;

/// Make a new release that holds what an older one held
///
/// What has been taken off the list since stays off it. Until `publish --resume`, new entries wait and only what is
/// taken off is published: put the ledger right first.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The class
    #[arg(long, value_name = "CLASS", value_parser = press::class)]
    class: Class,

    /// The release whose content comes back
    #[arg(long, value_name = "SERIAL")]
    to: u64,

    #[command(flatten)]
    keys: Keys,

    #[command(flatten)]
    place: Place,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let wish = Wish { classes: vec![arguments.class], rollback: Some(arguments.to), ..Wish::default() };
    block_on(super::publish::once(&arguments.place, &arguments.keys, &wish, &[], None))
}
