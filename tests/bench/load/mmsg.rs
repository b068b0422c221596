//! Many datagrams in one system call: `recvmmsg` and `sendmmsg`. The only unsafe code of the two programs.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;

use libc::{c_uint, in_pktinfo, iovec, mmsghdr, sockaddr_in, sockaddr_storage, socklen_t};

/// Datagrams in one call. Beyond some 64 a call costs nothing against its packets.
pub(crate) const BATCH: usize = 64;
/// Room for one datagram. 25 cache lines: a power of two would put all packets into the same few cache sets.
pub(crate) const PACKET: usize = 1600;

/// How a batch is addressed.
#[derive(Clone, Copy)]
#[allow(dead_code)] // `echo` only replies, `load` never does
pub(crate) enum Route {
    /// The sockets are connected.
    Connected,
    /// Every datagram goes back to where it came from.
    Reply,
    /// To this server, each datagram from the source address given to [`Batch::source`].
    Spread(SocketAddrV4),
}

/// One control message IP_PKTINFO; the layout that `cmsg(3)` describes: header, padding to its alignment, data.
#[repr(C)]
#[derive(Clone, Copy)]
struct Source {
    header: libc::cmsghdr,
    info: in_pktinfo,
}

/// Buffers and headers for up to [`BATCH`] datagrams, used again and again.
pub(crate) struct Batch {
    route: Route,
    packets: Vec<[u8; PACKET]>,
    lengths: [usize; BATCH],
    peers: Vec<sockaddr_storage>,
    peer_lengths: [socklen_t; BATCH],
    sources: Vec<Source>,
    iovecs: Vec<iovec>,
    headers: Vec<mmsghdr>,
}

impl Batch {
    pub(crate) fn new(route: Route) -> Batch {
        // SAFETY: all four are plain C structs of integers and pointers; all zeroes is a value of each.
        let (peer, mut source, empty_iovec, empty_header) = unsafe {
            (
                mem::zeroed::<sockaddr_storage>(),
                mem::zeroed::<Source>(),
                mem::zeroed::<iovec>(),
                mem::zeroed::<mmsghdr>(),
            )
        };
        source.header.cmsg_level = libc::IPPROTO_IP;
        source.header.cmsg_type = libc::IP_PKTINFO;
        source.header.cmsg_len = (mem::offset_of!(Source, info) + mem::size_of::<in_pktinfo>()) as _;
        let mut batch = Batch {
            route,
            packets: vec![[0; PACKET]; BATCH],
            lengths: [0; BATCH],
            peers: vec![peer; BATCH],
            peer_lengths: [0; BATCH],
            sources: vec![source; BATCH],
            iovecs: vec![empty_iovec; BATCH],
            headers: vec![empty_header; BATCH],
        };
        if let Route::Spread(server) = route {
            let address = sockaddr_in {
                sin_family: libc::AF_INET as _,
                sin_port: server.port().to_be(),
                sin_addr: in_addr(*server.ip()),
                sin_zero: [0; 8],
            };
            for (peer, length) in batch.peers.iter_mut().zip(&mut batch.peer_lengths) {
                // SAFETY: sockaddr_storage is larger than sockaddr_in and aligned for every socket address.
                unsafe { ptr::from_mut(peer).cast::<sockaddr_in>().write(address) };
                *length = mem::size_of::<sockaddr_in>() as socklen_t;
            }
        }
        batch
    }

    /// Datagram `i` of the last [`Batch::receive`].
    pub(crate) fn packet(&mut self, i: usize) -> &mut [u8] {
        &mut self.packets[i][..self.lengths[i]]
    }

    /// Makes datagram `i` a copy of `message` (cut at [`PACKET`] octets) and hands it back.
    #[allow(dead_code)] // `echo` sends what it received
    pub(crate) fn fill(&mut self, i: usize, message: &[u8]) -> &mut [u8] {
        let length = message.len().min(PACKET);
        self.packets[i][..length].copy_from_slice(&message[..length]);
        self.lengths[i] = length;
        self.packet(i)
    }

    /// The address datagram `i` shall come from ([`Route::Spread`]).
    #[allow(dead_code)] // `echo` has one address
    pub(crate) fn source(&mut self, i: usize, address: Ipv4Addr) {
        self.sources[i].info.ipi_spec_dst = in_addr(address);
    }

    /// Receives what is there; with `wait` at least one datagram. 0: nothing there.
    pub(crate) fn receive(&mut self, socket: &UdpSocket, wait: bool) -> io::Result<usize> {
        for i in 0..BATCH {
            self.lengths[i] = PACKET;
            self.peer_lengths[i] = mem::size_of::<sockaddr_storage>() as socklen_t;
            self.prepare(i, matches!(self.route, Route::Reply), false);
        }
        let flags = if wait { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
        // SAFETY: `prepare` has pointed all BATCH headers at buffers of this batch with their true lengths; the
        // kernel keeps no pointer beyond the call, and nothing is moved or resized during it.
        let received = unsafe {
            libc::recvmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), BATCH as c_uint, flags as _, ptr::null_mut())
        };
        let received = count(received)?;
        for i in 0..received {
            self.lengths[i] = (self.headers[i].msg_len as usize).min(PACKET);
            self.peer_lengths[i] = self.headers[i].msg_hdr.msg_namelen;
        }
        Ok(received)
    }

    /// Sends the first `count` datagrams; how many the kernel took. 0: its buffer is full.
    pub(crate) fn send(&mut self, socket: &UdpSocket, number: usize) -> io::Result<usize> {
        let number = number.min(BATCH);
        for i in 0..number {
            self.prepare(i, !matches!(self.route, Route::Connected), matches!(self.route, Route::Spread(_)));
        }
        // SAFETY: as in `receive`; only the first `number` headers are read, and those were just prepared.
        count(unsafe { libc::sendmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), number as c_uint, 0) })
    }

    /// Points header `i` at its buffers. Done for every call: 64 times a few stores, and no pointer has to stay
    /// true while the batch itself is moved.
    fn prepare(&mut self, i: usize, address: bool, source: bool) {
        self.iovecs[i].iov_base = self.packets[i].as_mut_ptr().cast();
        self.iovecs[i].iov_len = self.lengths[i];
        let header = &mut self.headers[i].msg_hdr;
        header.msg_iov = &raw mut self.iovecs[i];
        header.msg_iovlen = 1;
        (header.msg_name, header.msg_namelen) =
            if address { ((&raw mut self.peers[i]).cast(), self.peer_lengths[i]) } else { (ptr::null_mut(), 0) };
        (header.msg_control, header.msg_controllen) = if source {
            ((&raw mut self.sources[i]).cast(), mem::size_of::<Source>() as _)
        } else {
            (ptr::null_mut(), 0)
        };
    }
}

fn in_addr(address: Ipv4Addr) -> libc::in_addr {
    libc::in_addr { s_addr: u32::from(address).to_be() }
}

/// The result of a batched call; "not now" and "nobody listens (yet)" are no datagrams, not errors.
fn count(result: libc::c_int) -> io::Result<usize> {
    usize::try_from(result).or_else(|_| {
        let problem = io::Error::last_os_error();
        match problem.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionRefused => Ok(0),
            _ => Err(problem),
        }
    })
}
