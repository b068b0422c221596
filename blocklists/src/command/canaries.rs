//! `friendly-blocklist canaries`: the test names of releases, for the checker.

use std::path::PathBuf;

use clap::Args;
use signed_list::release::Class;

use super::Failure;
use super::place::Place;
use super::press;
use crate::output::NewFile;
use crate::release::canary::{Canaries, Export, Rungs, Watermark, texts};
use crate::release::work::Work;

/// Write the test names of releases as JSON, for the checker
///
/// Secret: who has them can tell an audit from other questions. They go to a file that nobody else can read.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The class
    #[arg(long, value_name = "CLASS", value_parser = press::class)]
    class: Class,

    /// The releases, as in 40-45. Default: all that are kept
    #[arg(long, value_name = "FROM-TO", value_parser = range)]
    serials: Option<(u64, u64)>,

    /// The file to write; standard output if it is -
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    #[command(flatten)]
    place: Place,
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    match (from.parse(), to.parse()) {
        (Ok(from), Ok(to)) if from <= to => Ok((from, to)),
        _ => Err("one serial, or FROM-TO".to_owned()),
    }
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let class = arguments.class;
    let work = Work::open(&arguments.place.work)?;
    let canaries = Canaries::new(work.seed(), &work.scheme.ground, class);
    let (from, to) = arguments.serials.unwrap_or((0, u64::MAX));
    let categories = work.scheme.categories(class).iter();
    let test = categories.filter_map(|category| Some((category.clone(), canaries.test(category)?.to_string())));
    let mut export = Export { class, test: test.collect(), releases: Vec::new(), watermarks: Vec::new() };
    for serial in work.serials(class)?.into_iter().filter(|serial| (from..=to).contains(serial)) {
        let Some(card) = work.card(class, serial)? else { continue };
        export.releases.push(Rungs {
            serial,
            created: card.created,
            epoch: card.epoch,
            added: texts(&canaries.added(serial)),
            removed: texts(&canaries.removed(serial)),
            hidden: texts(&canaries.hidden(card.moves)),
            controls: texts(&canaries.controls(card.moves)),
            emergency: texts(&canaries.emergency(card.moves)),
        });
        for (resolver, epoch) in card.recipients.iter().filter_map(|resolver| Some((resolver, card.epoch?))) {
            if !export.watermarks.iter().any(|known| known.resolver == *resolver && known.epoch == epoch) {
                let names = texts(&canaries.watermark(resolver, epoch));
                export.watermarks.push(Watermark { resolver: resolver.clone(), epoch, names });
            }
        }
    }
    if export.releases.is_empty() {
        return Err(format!("no such release of the class {} is kept", class.word()).into());
    }
    let text = serde_json::to_vec_pretty(&export)?;
    if arguments.out.as_os_str() == "-" {
        use std::io::Write;
        std::io::stdout().lock().write_all(&text)?;
        return Ok(());
    }
    Ok(NewFile::put(&arguments.out, &text, true)?)
}
