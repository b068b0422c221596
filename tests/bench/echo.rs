//! `echo`: the least a DNS server can do, as the limit that servers are compared with.
//!
//! One thread receives up to 64 datagrams with one `recvmmsg`, flips the QR bit of each and sends them back with one
//! `sendmmsg`: all the work of the sockets and none of DNS. Whatever a server costs beyond this is its own.

use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;

use clap::Parser;
use socket2::SockRef;

#[allow(unsafe_code)] // batched socket calls; each block has its SAFETY note
#[path = "load/mmsg.rs"]
mod mmsg;

use mmsg::{Batch, Route};

/// Sends every datagram back with the QR bit flipped, until it is stopped.
#[derive(Parser)]
struct Options {
    /// Address and port to listen on; loopback only.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
}

fn main() -> ExitCode {
    let Options { listen } = Options::parse();
    if !listen.ip().is_loopback() {
        eprintln!("echo: {} is not a loopback address; anyone could turn this program against others", listen.ip());
        return ExitCode::FAILURE;
    }
    let Err(problem) = serve(listen);
    eprintln!("echo: {listen}: {problem}");
    ExitCode::FAILURE
}

fn serve(listen: SocketAddr) -> std::io::Result<std::convert::Infallible> {
    let socket = UdpSocket::bind(listen)?;
    SockRef::from(&socket).set_recv_buffer_size(4 << 20)?;
    let mut batch = Batch::new(Route::Reply);
    loop {
        let received = batch.receive(&socket, true)?;
        for i in 0..received {
            if let Some(flags) = batch.packet(i).get_mut(2) {
                *flags ^= 0x80;
            }
        }
        batch.send(&socket, received)?;
    }
}
