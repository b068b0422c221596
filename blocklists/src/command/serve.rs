//! `friendly-blocklist serve`: a small web server, for trials, and the server of zones, for those who run other software.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use clap::Args;
use signed_list::release::Class;
use signed_list::tsig;
use tokio::net::{TcpListener, UdpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use super::Failure;
use super::press;
use crate::release::serve::Site;
use crate::release::work::Work;
use crate::transfer::message::{Access, signing_key};
use crate::transfer::server::Server;
use crate::transfer::shelf::Shelf;
use crate::transfer::{NEVER_IN_CLEAR, notify};

/// Serve a repository over HTTP, or open lists by zone transfer
///
/// With --dir over HTTP, for trials: any web server or object store does as well, all it has to do is to hand out files.
/// With --zones the open lists as response policy zones, over AXFR and IXFR with NOTIFY and TSIG, so that BIND, Unbound
/// and PowerDNS can subscribe; the table `zones` of release.toml says who may. The legal list is never among them.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The directory that `publish --to` writes
    #[arg(long, value_name = "DIR", required_unless_present = "zones")]
    dir: Option<PathBuf>,

    /// The address to answer HTTP on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// The address to hand out zones on, UDP and TCP; may be given several times
    #[arg(long, value_name = "ADDRESS", requires = "work")]
    zones: Vec<SocketAddr>,

    /// The publisher's work directory, where the zones are
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,

    /// Zones of this class only; may be given several times
    #[arg(long, value_name = "CLASS", value_parser = press::class, requires = "zones")]
    class: Vec<Class>,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.class.iter().any(|class| class.is_sealed()) {
        return Err(format!("--class legal: {NEVER_IN_CLEAR}").into());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        if let Some(dir) = &arguments.dir {
            web(dir, arguments.listen, &mut tasks).await?;
        }
        if let Some(work) = &arguments.work {
            zones(arguments, work, &mut tasks).await?;
        }
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = tasks.join_next() => {}
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    });
    // A transfer that waits for its subscriber does not hold up the end.
    runtime.shutdown_background();
    done
}

async fn web(dir: &Path, address: SocketAddr, tasks: &mut JoinSet<()>) -> Result<(), Failure> {
    let shown = dir.display();
    let site = Site::new(dir).map_err(|error| format!("{shown}: cannot be served: {error}"))?;
    let listener = TcpListener::bind(address).await.map_err(|error| format!("{address}: {error}"))?;
    press::note(&format!("Serving {shown} on http://{}/  Stop: Ctrl-C", listener.local_addr()?));
    tasks.spawn(async move { site.serve(listener).await });
    Ok(())
}

async fn zones(arguments: &Arguments, directory: &Path, tasks: &mut JoinSet<()>) -> Result<(), Failure> {
    let mut work = Work::open(directory)?;
    if !arguments.class.is_empty() {
        work.settings.zones.classes = arguments.class.iter().map(|class| class.word().to_owned()).collect();
    }
    let settings = work.settings.zones.clone();
    let mut access = Access { networks: settings.allow, ..Access::default() };
    for path in &settings.keys {
        let path = directory.join(path);
        let key = key(&path).map_err(|why| format!("{}: {why}", path.display()))?;
        access.keys.insert((key.name().clone(), key.algorithm()), Arc::new(key));
    }
    let server = Arc::new(Server::new(Shelf::read(&work)?, access, |line| println!("{line}")));
    let mut bound = Vec::new();
    for address in &arguments.zones {
        let failed = |error: io::Error| format!("{address}: {error}");
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let local = listener.local_addr()?;
        let socket = UdpSocket::bind(local).await.map_err(failed)?;
        bound.push(local);
        let streams = server.clone();
        tasks.spawn(async move { streams.streams(&listener).await });
        let datagrams = server.clone();
        tasks.spawn(async move { datagrams.datagrams(&socket).await });
    }
    let listed = server.shelf().borrow().zones().map(|(zone, serial)| format!("{zone} {serial}")).collect::<Vec<_>>();
    let listed = if listed.is_empty() { "none yet".to_owned() } else { listed.join(", ") };
    let on = bound.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    press::note(&format!("Handing out zones on {on}: {listed}  Stop: Ctrl-C"));
    if let (Some(from), false) = (bound.first().map(SocketAddr::ip), settings.notify.is_empty()) {
        let server = server.clone();
        tasks.spawn(async move { notify::run(&server, &settings.notify, from).await });
    }
    tasks.spawn(async move { server.watch(&work).await });
    Ok(())
}

/// Reads a key that nobody else can read.
fn key(path: &Path) -> Result<domain::tsig::Key, String> {
    let mode = fs::metadata(path).map_err(|error| error.to_string())?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!("others can read this key (mode {:03o}); run `chmod 600` on it", mode & 0o777));
    }
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let key = tsig::Key::parse(&text).map_err(|error| error.to_string())?;
    signing_key(&key).ok_or_else(|| "its name cannot be used".to_owned())
}
