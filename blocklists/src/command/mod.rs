//! The verbs of the program, one file each: arguments and what they do.

pub mod admin;
pub mod appeal;
pub mod approve;
pub mod canaries;
pub mod compile;
pub mod diff;
pub mod enrol;
pub mod feeds;
pub mod history;
pub mod init;
pub mod intake;
pub mod ledger;
pub mod overrule;
pub mod person;
pub mod place;
pub mod press;
pub mod publish;
pub mod readable;
pub mod receipts;
pub mod reject;
pub mod review;
pub mod rollback;
pub mod rotate_key;
pub mod screen;
pub mod serve;
pub mod sign;
pub mod status;
pub mod verify;
pub mod view;
pub mod withdraw;

use clap::{Parser, Subcommand};

/// Why a verb did not do what was asked: one sentence for standard error.
pub type Failure = Box<dyn std::error::Error>;

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "friendly-blocklist", version, max_term_width = 80)]
#[command(about = "From a hotline's takedown to the list that a Friendly Wi-Fi resolver enforces")]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Intake(intake::Arguments),
    Review(review::Arguments),
    Approve(approve::Arguments),
    Reject(reject::Arguments),
    Withdraw(withdraw::Arguments),
    Appeal(appeal::Arguments),
    Status(status::Arguments),
    History(history::Arguments),
    Person(person::Arguments),
    Ledger(ledger::Arguments),
    Init(init::Arguments),
    Publish(publish::Arguments),
    Sign(sign::Arguments),
    Overrule(overrule::Arguments),
    Diff(diff::Arguments),
    Feeds(feeds::Arguments),
    Rollback(rollback::Arguments),
    RotateKey(rotate_key::Arguments),
    Enrol(enrol::Arguments),
    RevokeRecipient(enrol::Revocation),
    Verify(verify::Arguments),
    Serve(serve::Arguments),
    Receipts(receipts::Arguments),
    Canaries(canaries::Arguments),
    Compile(compile::Arguments),
}

impl Cli {
    /// Does what was asked for. What is printed to standard output is the result; the error is one sentence for
    /// standard error.
    pub fn run(self) -> Result<(), Failure> {
        match self.verb {
            Verb::Intake(arguments) => intake::run(&arguments),
            Verb::Review(arguments) => review::run(&arguments),
            Verb::Approve(arguments) => approve::run(&arguments),
            Verb::Reject(arguments) => reject::run(&arguments),
            Verb::Withdraw(arguments) => withdraw::run(&arguments),
            Verb::Appeal(arguments) => appeal::run(&arguments),
            Verb::Status(arguments) => status::run(&arguments),
            Verb::History(arguments) => history::run(&arguments),
            Verb::Person(arguments) => person::run(&arguments),
            Verb::Ledger(arguments) => ledger::run(&arguments),
            Verb::Init(arguments) => init::run(&arguments),
            Verb::Publish(arguments) => publish::run(&arguments),
            Verb::Sign(arguments) => sign::run(&arguments),
            Verb::Overrule(arguments) => overrule::run(&arguments),
            Verb::Diff(arguments) => diff::run(&arguments),
            Verb::Feeds(arguments) => feeds::run(&arguments),
            Verb::Rollback(arguments) => rollback::run(&arguments),
            Verb::RotateKey(arguments) => rotate_key::run(&arguments),
            Verb::Enrol(arguments) => enrol::run(&arguments),
            Verb::RevokeRecipient(arguments) => enrol::revoke(&arguments),
            Verb::Verify(arguments) => verify::run(&arguments),
            Verb::Serve(arguments) => serve::run(&arguments),
            Verb::Receipts(arguments) => receipts::run(&arguments),
            Verb::Canaries(arguments) => canaries::run(&arguments),
            Verb::Compile(arguments) => Ok(compile::run(&arguments)?),
        }
    }
}
