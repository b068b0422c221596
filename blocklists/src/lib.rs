//! From public block lists to the one file a resolver enforces.
//!
//! A list goes one way through this crate:
//!
//! 1. [`source`] opens it (a file or standard input, packed or not) and cuts it into lines;
//! 2. [`intake`] finds out in which format it is, and what each line says: a name, a comment, an exception, or
//!    something that DNS cannot block, with the reason;
//! 3. [`guard`] refuses names that must not be blocked whatever a list says: public suffixes, special-use names, and
//!    the names of `protected.txt`;
//! 4. [`reading`] takes a list through these three to its end, and judges whether it was one;
//! 5. [`compile`] drops what is listed twice or lies below a listed name, and builds the file;
//! 6. [`output`] puts the file in place, whole or not at all;
//! 7. [`report`] counts along the way, and says what was left out, where it stood and why.
//!
//! [`feed`] takes lists from the web on a schedule through the first three of these, and [`release`] brings them, and what
//! the [`ledger`] holds, to resolvers.
//! [`appeal`] reads what people asked for on stop pages.
//! [`transfer`] hands the open lists out to networks that run other software.
//!
//! [`command`] holds the verbs of the program and calls the rest in this order. `intake`, `guard` and `compile` are
//! pure: text and names go in, and no file, clock or network is touched.

pub mod appeal;
pub mod command;
pub mod compile;
pub mod feed;
pub mod guard;
pub mod intake;
pub mod ledger;
pub mod output;
pub mod person;
pub mod reading;
pub mod release;
pub mod report;
pub mod source;
pub mod takedown;
pub mod texts;
pub mod transfer;
pub mod triage;
