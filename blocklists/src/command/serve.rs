//! `friendly-blocklist serve`: a small web server, for trials.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use super::press;
use crate::release::serve::Site;

/// Serve a repository over HTTP, for trials
///
/// Any web server or object store does as well: all it has to do is to hand out files.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The directory that `publish --to` writes
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// The address to answer on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let shown = arguments.dir.display();
        let site = Site::new(&arguments.dir).map_err(|error| format!("{shown}: cannot be served: {error}"))?;
        let address = arguments.listen;
        let listener = TcpListener::bind(address).await.map_err(|error| format!("{address}: {error}"))?;
        press::note(&format!("Serving {shown} on http://{}/  Stop: Ctrl-C", listener.local_addr()?));
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            () = site.serve(listener) => {}
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    })
}
