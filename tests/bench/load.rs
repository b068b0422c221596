//! `load`: questions for one DNS server on this machine, as many as it can answer or at a steady rate.
//!
//! The shape of the program: [`Options`] says what to ask, `load/questions.rs` encodes every question once,
//! `load/udp.rs` and `load/tcp.rs` keep a window of them open, `load/window.rs` remembers which are open,
//! `load/tally.rs` counts, and one line of JSON comes out (with `--per-second` one more for each second).
//! `--probe` is the other use: ask one question every 5 ms until its answer is right.
//!
//! The load has one core and must be cheaper than the server it measures, therefore: one thread, one
//! `sendmmsg` and one `recvmmsg` for many packets, state that stays in the first-level cache, and no waiting in the
//! kernel. A reader asleep in `poll` would have to be woken by the *server's* system call, and that wake-up would
//! be charged to the server; a spinning reader costs it nothing.
//!
//! It sends to loopback addresses only and always ends: `--seconds` is bounded.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

#[allow(unsafe_code)] // batched socket calls; each block has its SAFETY note
#[path = "load/mmsg.rs"]
mod mmsg;
#[path = "load/probe.rs"]
mod probe;
#[path = "load/questions.rs"]
mod questions;
#[path = "load/tally.rs"]
mod tally;
#[path = "load/tcp.rs"]
mod tcp;
#[path = "load/udp.rs"]
mod udp;
#[path = "load/window.rs"]
mod window;

use questions::Questions;
use tally::{Expectation, Tally};

/// Asks a DNS server on this machine and prints one line of JSON.
#[derive(Parser)]
struct Options {
    /// Address and port of the server; loopback only.
    #[arg(long, value_name = "ADDRESS:PORT")]
    server: SocketAddr,
    /// Questions, "name TYPE" a line, asked in this order and then again.
    #[arg(long, value_name = "FILE", required_unless_present = "probe")]
    queries: Option<PathBuf>,
    /// How long to ask.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Stop after this many questions.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Ask every question of the file once, then stop.
    #[arg(long)]
    once: bool,
    /// Open questions, over all sockets together; 128, or 16,384 with --rate.
    #[arg(long, value_name = "N")]
    window: Option<usize>,
    /// UDP sockets, each with a port of its own; enough of them let SO_REUSEPORT spread the load.
    #[arg(long, value_name = "N", default_value_t = 64)]
    sockets: usize,
    /// Give the questions this many client addresses in turn, from 127.1.0.1 on (IPv4 servers only).
    #[arg(long, value_name = "N")]
    clients: Option<u32>,
    /// Ask in an order that is random, but the same in every run.
    #[arg(long)]
    shuffle: bool,
    /// Put this label in front of every name, so that one file serves as new names again.
    #[arg(long, value_name = "LABEL")]
    prefix: Option<String>,
    /// Questions a second, sent by the clock whether or not answers come; latency then counts from the moment a
    /// question was due. Without it a question follows every answer.
    #[arg(long, value_name = "N")]
    rate: Option<u64>,
    /// Ask over this many TCP connections, pipelined, instead of UDP.
    #[arg(long, value_name = "CONNECTIONS", conflicts_with = "rate")]
    tcp: Option<usize>,
    /// A question without an answer for so many milliseconds is lost.
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    timeout: u64,
    /// Count answers with another code, or to another question, as wrong.
    #[arg(long, value_name = "RCODE")]
    expect: Option<Expectation>,
    /// Print a line for every second, too.
    #[arg(long)]
    per_second: bool,
    /// Ask only this question, every 5 ms, until the answer has the code of --expect or the time is over.
    #[arg(long, value_name = "NAME TYPE", conflicts_with = "queries", requires = "expect")]
    probe: Option<String>,

    /// With --probe: when a line comes on standard input, rename a file, send SIGHUP to a process, and then ask
    #[arg(long, num_args = 3, value_names = ["FROM", "TO", "PID"], requires = "probe")]
    replace: Option<Vec<String>>,
}

/// What both transports need to know.
struct Plan {
    server: SocketAddr,
    questions: Questions,
    seconds: Duration,
    /// Questions to ask at most.
    count: u64,
    /// Open questions at most, over all flows.
    window: usize,
    timeout: Duration,
    clients: Option<u32>,
}

/// Open questions of a closed loop: they all fit into a socket buffer of 208 KiB, which is what a server has that asks
/// for no larger one. More would measure how it drops, not how it answers.
const CLOSED_WINDOW: usize = 128;
/// Open questions at a steady rate: the limit of the memory, not of the rate.
const RATE_WINDOW: usize = 16_384;
/// Longest run: a forgotten load shall not keep a core busy for a day.
const LONGEST: f64 = 3600.0;

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("load: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// `Ok(false)`: a probe that saw no right answer in time.
fn run(options: Options) -> Result<bool, Box<dyn std::error::Error>> {
    let server = options.server;
    if !server.ip().is_loopback() {
        return Err(format!(
            "{} is not a loopback address; this program only asks servers on its own machine",
            server.ip()
        )
        .into());
    }
    if !(options.seconds > 0.0 && options.seconds <= LONGEST) {
        return Err(format!("--seconds {} is not between 0 and {LONGEST}", options.seconds).into());
    }
    let seconds = Duration::from_secs_f64(options.seconds);
    if let (Some(question), Some(expected)) = (&options.probe, options.expect) {
        if let Some([from, to, pid]) = options.replace.as_deref() {
            probe::replace(from, to, pid)?;
        }
        return Ok(probe::run(server, &Questions::one(question)?, expected, seconds)?);
    }
    if options.sockets == 0 || options.tcp == Some(0) || options.clients == Some(0) || options.rate == Some(0) {
        return Err("--sockets, --clients, --rate and --tcp start at 1".into());
    }
    if options.clients.is_some() && server.is_ipv6() {
        return Err("--clients needs an IPv4 server: IPv6 has one loopback address only".into());
    }
    let file = options.queries.unwrap_or_default();
    let questions = Questions::read(&file, options.prefix.as_deref(), options.shuffle)?;
    let all = if options.once { questions.len() as u64 } else { u64::MAX };
    let plan = Plan {
        server,
        seconds,
        count: all.min(options.count.unwrap_or(u64::MAX)),
        window: options.window.unwrap_or(if options.rate.is_some() { RATE_WINDOW } else { CLOSED_WINDOW }),
        timeout: Duration::from_millis(options.timeout.max(1)),
        clients: options.clients,
        questions,
    };
    let mut tally = Tally::new(options.expect, options.per_second);
    match options.tcp {
        Some(connections) => tcp::run(&plan, connections, &mut tally)?,
        None => udp::run(&plan, options.sockets, options.rate, &mut tally)?,
    }
    println!("{}", tally.line());
    Ok(true)
}
