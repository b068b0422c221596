//! Bytes in, bytes out: the listeners. Nothing in here knows what a name is.
//!
//! | file | what it does |
//! |---|---|
//! | `udp.rs`, `batch.rs` | datagrams: one thread a socket, many in one system call |
//! | `accept.rs` | connections: who may have one, and what is spoken on it |
//! | `tls.rs` | certificate and key, and TLS |
//! | `stream.rs` | messages with a length in front: TCP, and DoT |
//! | `https.rs` | messages in HTTPS exchanges: DoH |
//! | `records.rs` | one TLS record for each of its answers |
//! | `caller.rs` | one client in front of the pipeline, for all of these |

pub mod accept;
pub mod batch;
pub mod caller;
pub mod https;
pub mod records;
pub mod stream;
pub mod tls;
pub mod udp;

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Receive and send buffers of UDP sockets, in octets: room for some thousand
/// questions while a worker is busy.
const SOCKET_BUFFER: usize = 4 << 20;

/// Binds a UDP socket that shares its address with those of other workers.
///
/// # Errors
/// What the system says.
pub fn bind_udp(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // Both families are configured apart: [::] must not take 0.0.0.0 too.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(true)?;
    // As much as the system grants; less only costs under bursts.
    drop(socket.set_recv_buffer_size(SOCKET_BUFFER));
    drop(socket.set_send_buffer_size(SOCKET_BUFFER));
    bind(&socket, address)?;
    if address.ip().is_unspecified() {
        use std::os::fd::AsFd;
        batch::report_destination(socket.as_fd(), address)?;
    }
    Ok(socket)
}

/// Binds a listening TCP socket.
///
/// # Errors
/// What the system says.
pub fn bind_tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for connections of its predecessor to time out.
    socket.set_reuse_address(true)?;
    bind(&socket, address)?;
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Binds, also to an address that this host does not have yet: at boot the
/// resolver may be up before the network is.
fn bind(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    let result = socket.bind(&SockAddr::from(address));
    match &result {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            match address {
                SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
                SocketAddr::V6(_) => socket.set_freebind_v6(true)?,
            }
            // Once for all sockets of an address: TCP is the first and only.
            if socket.r#type().is_ok_and(|kind| kind == Type::STREAM) {
                tracing::warn!(%address, "this host does not have the address (yet); it is bound all the same");
            }
            socket.bind(&SockAddr::from(address))
        }
        _ => result,
    }
}

/// What the tests of the listeners have in common.
#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use crate::config::Config;
    use crate::dnssec::Validator;
    use crate::filter::Filter;
    use crate::pipeline::{Pipeline, Snapshot};
    use crate::upstream::{Settings, Upstreams};

    /// A question for `localhost`, which is answered without a list or an upstream.
    pub(super) fn question(id: u16) -> Vec<u8> {
        [&id.to_be_bytes()[..], b"\x01\0\0\x01\0\0\0\0\0\0\x09localhost\0\0\x01\0\x01"].concat()
    }

    /// Built-in defaults, no list, no upstream.
    pub(super) fn pipeline() -> Arc<Pipeline> {
        let config = Config::builtin();
        let scheme = Arc::new(crate::scheme::Scheme::shipped());
        let filter = Filter::new(&config, &scheme, Vec::new(), config.policies.iter().map(|_| Vec::new()).collect());
        let settings = Settings::new(Duration::from_millis(1), Duration::from_millis(1), 1232);
        let upstreams = Upstreams::new(Vec::new(), settings);
        let validator = Validator::new(&config, upstreams.clone()).expect("the shipped trust anchors");
        let snapshot = Snapshot::new(1, Arc::new(config), scheme, filter, false, Vec::new());
        Arc::new(Pipeline::new(snapshot, upstreams, validator, 1))
    }
}
