//! `friendly-resolver`: arguments in, exit code out.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use friendly_resolver::config;
use friendly_resolver::discovery::{Service, dnr};
use friendly_resolver::explain::{self, Asked};
use friendly_resolver::origin::Origin;
use friendly_resolver::releases::Identity;
use friendly_resolver::report::{self, Format, Quarter};
use friendly_resolver::service;

/// DNS filtering resolver for public Wi-Fi.
///
/// Without a configuration file it listens on 127.0.0.1:1053 and [::1]:1053,
/// asks the system's own upstreams, and blocks a sample list of test names.
#[derive(Parser)]
#[command(version, max_term_width = 80)]
struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// The configuration file; without it, the built-in defaults
    #[arg(long, short, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Verb {
    /// Answer questions until told to stop (the default)
    Run,
    /// Check a configuration file and its lists, and start nothing
    CheckConfig {
        /// The configuration file, if --config does not name it
        file: Option<PathBuf>,
    },
    /// Make the secret of this resolver, if the file is not there, and print what
    /// a publisher of sealed lists has to enrol
    Identity {
        /// The file of the secret
        file: PathBuf,
    },
    /// Print what a DHCP server or router hands out, so that devices find the
    /// encrypted transports
    Discovery {
        /// Where clients reach this resolver, if it listens on every address; may
        /// be given several times
        #[arg(long, value_name = "ADDRESS")]
        address: Vec<IpAddr>,
    },
    /// Print how often each hotspot blocked in a quarter, without names and people
    Report {
        /// The quarter, as in 2026-Q4
        #[arg(long)]
        quarter: Quarter,
        /// How it is printed
        #[arg(long, value_enum, default_value = "json")]
        format: Format,
        /// Language of the page, as in sq; by default the first one of the scheme
        #[arg(long)]
        language: Option<String>,
    },
    /// Tell what the answer to a name would be, and why
    Explain {
        /// The name asked for
        name: String,
        /// The client that asks
        #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
        client: IpAddr,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = arguments.config;
    let result = match arguments.verb.unwrap_or(Verb::Run) {
        Verb::Run => service::run(origin(config)).map_err(|error| error.to_string()),
        Verb::CheckConfig { file } => match file.or(config) {
            Some(file) => explain::check(&file),
            // Not a rule of clap's: it does not see a --config in front of the verb.
            None => Arguments::command()
                .error(ErrorKind::MissingRequiredArgument, "which file? Write check-config FILE")
                .exit(),
        },
        Verb::Identity { file } => identity(&file),
        Verb::Report { quarter, format, language } => {
            report::run(&origin(config), quarter, format, language.as_deref())
        }
        Verb::Discovery { address } => discovery(&origin(config), &address),
        Verb::Explain { name, client, json } => explain::explain(&origin(config), &Asked { name, client, json }),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("friendly-resolver: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn identity(file: &Path) -> Result<(), String> {
    let identity =
        if file.exists() { Identity::load(&config::Identity::File(file.into())) } else { Identity::make(file) };
    let identity = identity.map_err(|error| error.to_string())?;
    println!("resolver     {}", identity.resolver());
    println!("recipient    {}", identity.recipient());
    println!("receipt key  {}", identity.receipt_key());
    Ok(())
}

fn discovery(origin: &Origin, addresses: &[IpAddr]) -> Result<(), String> {
    let config = origin.config().map_err(|error| error.to_string())?;
    let (Some(tls), Some(discovery)) = (&config.tls, &config.discovery) else {
        return Err("there is nothing to find: it takes [tls] and the 'name' of [discovery]; see --config".into());
    };
    let services = Service::all(tls);
    print!("{}", dnr::sheet(services, discovery.name.as_wire(), &discovery.name.to_string(), addresses)?);
    Ok(())
}

fn origin(config: Option<PathBuf>) -> Origin {
    config.map_or(Origin::BuiltIn, Origin::File)
}
