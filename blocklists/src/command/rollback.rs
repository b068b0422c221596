//! `friendly-blocklist rollback`: back to what an older release held.

use clap::Args;
use signed_list::release::Class;

use super::Failure;
use super::place::{Place, Why, block_on};
use super::press::{self, Keys};
use crate::release::draft::Wish;

/// Make a new release that holds what an older one held
///
/// What has been taken off the list since stays off it. Until `publish --resume`, new entries wait and only what is
/// taken off is published: put the ledger right first.
///
/// The jump guard does not hold a rollback for what it takes off the list, however much that is: this is how a mistake
/// is undone at once. It holds what would come back, beyond the limit of release.toml. Both `publish` and `status` say
/// that a class is rolled back, with the reason given here.
///
/// Exit status as of `publish`: 4 if the release is not in force yet.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The class
    #[arg(long, value_name = "CLASS", value_parser = press::class)]
    class: Class,

    /// The release whose content comes back
    #[arg(long, value_name = "SERIAL")]
    to: u64,

    #[command(flatten)]
    why: Why,

    #[command(flatten)]
    keys: Keys,

    #[command(flatten)]
    place: Place,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let reason = Some(arguments.why.reason()?.as_str().to_owned());
    let wish = Wish { classes: vec![arguments.class], rollback: Some(arguments.to), reason, ..Wish::default() };
    block_on(super::publish::once(&arguments.place, &arguments.keys, &wish, &[], None))
}
