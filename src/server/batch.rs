//! Many datagrams for one system call: recvmmsg and sendmmsg.
//!
//! Answers are written over the questions they came from, in the same buffers,
//! and go back with the same address and, on wildcard sockets, from the very
//! address the question was sent to (RFC 3542 section 6, ip(7) IP_PKTINFO).
#![allow(unsafe_code)] // the system calls; everything else in here is safe

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

use socket2::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Datagrams in one call.
pub const BATCH: usize = 64;
/// Octets of one buffer: the largest datagram that is sent (4,096), and one
/// cache line more, so that the first lines of all buffers do not compete for
/// the same set of the processor's cache.
pub const BUFFER: usize = 4096 + 64;

/// Room for one IP_PKTINFO or IPV6_PKTINFO message.
const CONTROL: usize = 64;

#[repr(align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

/// The socket as the event loop of the current runtime sees it: tells when
/// something has arrived. The datagrams are taken by [`Batch::receive`].
///
/// # Errors
/// The system has no room to watch it.
pub fn arrivals(socket: &Arc<Socket>) -> io::Result<AsyncFd<Arc<Socket>>> {
    // SAFETY: the descriptor is that of the socket, which never changes it, and
    // which the Arc inside keeps open for as long as it is watched.
    let watched = unsafe { AsyncFd::register_with_interest(socket.clone(), Interest::READABLE) };
    watched.map_err(io::Error::from)
}

/// Buffers of one worker, used for receiving and sending alike.
pub struct Batch {
    buffers: Box<[[u8; BUFFER]]>,
    addresses: Box<[libc::sockaddr_storage]>,
    controls: Box<[Control]>,
    vectors: Box<[libc::iovec]>,
    incoming: Box<[libc::mmsghdr]>,
    outgoing: Box<[libc::mmsghdr]>,
    queued: usize,
    full: bool,
    /// Whether answers have to name the address they come from.
    wildcard: bool,
}

// SAFETY: the raw pointers in the headers lead into boxes that the batch owns
// and that never move or shrink; a batch is used by one thread at a time.
unsafe impl Send for Batch {}

impl Batch {
    /// Buffers for a socket; `wildcard` if it is bound to no certain address.
    pub fn new(wildcard: bool) -> Self {
        // SAFETY: all-zero bytes are valid for these plain structures of the
        // system's interface: integers, and pointers that may be null.
        let (address, vector, header) =
            unsafe { (zeroed::<libc::sockaddr_storage>(), zeroed::<libc::iovec>(), zeroed::<libc::mmsghdr>()) };
        let mut batch = Batch {
            buffers: vec![[0; BUFFER]; BATCH].into(),
            addresses: vec![address; BATCH].into(),
            controls: vec![Control([0; CONTROL]); BATCH].into(),
            vectors: vec![vector; BATCH].into(),
            incoming: vec![header; BATCH].into(),
            outgoing: vec![header; BATCH].into(),
            queued: 0,
            full: false,
            wildcard,
        };
        for i in 0..BATCH {
            batch.vectors[i] = libc::iovec { iov_base: batch.buffers[i].as_mut_ptr().cast(), iov_len: BUFFER };
            let header = &mut batch.incoming[i].msg_hdr;
            header.msg_iov = &mut batch.vectors[i];
            header.msg_iovlen = 1;
            header.msg_name = (&raw mut batch.addresses[i]).cast();
            if wildcard {
                header.msg_control = batch.controls[i].0.as_mut_ptr().cast();
            }
        }
        batch
    }

    /// Takes all datagrams that are there and returns how many; waits for the
    /// first one if told to.
    ///
    /// # Errors
    /// What the system says; `WouldBlock` when there is none, or the socket's
    /// time-out passed.
    pub fn receive(&mut self, socket: BorrowedFd<'_>, wait: bool) -> io::Result<usize> {
        for i in 0..BATCH {
            self.vectors[i].iov_len = BUFFER;
            let header = &mut self.incoming[i].msg_hdr;
            header.msg_namelen = size_of::<libc::sockaddr_storage>() as u32;
            header.msg_controllen = if self.wildcard { CONTROL } else { 0 };
        }
        self.queued = 0;
        // SAFETY: `incoming` holds BATCH headers, whose pointers lead to
        // buffers, addresses and control messages of the stated lengths, owned
        // by `self` and not otherwise borrowed during the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.incoming.as_mut_ptr(),
                BATCH as u32,
                if wait { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT },
                std::ptr::null_mut(),
            )
        };
        let received = usize::try_from(count).map_err(|_| io::Error::last_os_error());
        self.full = matches!(received, Ok(BATCH));
        received
    }

    /// Whether the last call took as many datagrams as there is room for, so
    /// that more may be there.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Datagram `i`: its buffer, whole, and how much of it was received;
    /// `None` if it did not fit and was cut.
    #[inline]
    pub fn datagram(&mut self, i: usize) -> (&mut [u8; BUFFER], Option<usize>) {
        let cut = self.incoming[i].msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        let length = self.incoming[i].msg_len as usize;
        (&mut self.buffers[i], (!cut).then_some(length))
    }

    /// Who sent datagram `i`, IPv4-mapped addresses taken apart.
    #[inline]
    pub fn client(&self, i: usize) -> IpAddr {
        client_of(&self.addresses[i])
    }

    /// Where an answer to datagram `i` has to go, for answers that come later.
    pub fn reply_to(&mut self, i: usize) -> ReplyTo {
        let control_len = self.reply_control(i);
        ReplyTo {
            address: self.addresses[i],
            address_len: self.incoming[i].msg_hdr.msg_namelen,
            control: self.controls[i],
            control_len,
        }
    }

    /// Puts the answer in buffer `i` on the list of those to send.
    #[inline]
    pub fn queue(&mut self, i: usize, length: usize) {
        self.vectors[i].iov_len = length;
        let mut header = self.incoming[i].msg_hdr;
        header.msg_controllen = self.reply_control(i);
        if header.msg_controllen == 0 {
            header.msg_control = std::ptr::null_mut();
        }
        header.msg_flags = 0;
        self.outgoing[self.queued] = libc::mmsghdr { msg_hdr: header, msg_len: 0 };
        self.queued += 1;
    }

    /// Sends all queued answers. One that the system refuses (a client that is
    /// gone, a full buffer) is lost, the others still go.
    pub fn flush(&mut self, socket: BorrowedFd<'_>) {
        let mut at = 0;
        while at < self.queued {
            let left = &mut self.outgoing[at..self.queued];
            // SAFETY: `left` holds initialised headers, copied from `incoming`,
            // whose pointers lead to memory that `self` owns.
            let sent =
                unsafe { libc::sendmmsg(socket.as_raw_fd(), left.as_mut_ptr(), left.len() as u32, libc::MSG_DONTWAIT) };
            at += usize::try_from(sent).unwrap_or(0).max(1);
        }
        self.queued = 0;
    }

    /// Length of the control message to send back: that of the one received,
    /// with its interface cleared so that the routing table decides, but for
    /// link-local addresses, which mean nothing without it.
    #[inline]
    fn reply_control(&mut self, i: usize) -> usize {
        if !self.wildcard || self.incoming[i].msg_hdr.msg_controllen == 0 {
            return 0;
        }
        prepare_control(&mut self.controls[i]);
        self.incoming[i].msg_hdr.msg_controllen
    }
}

/// Where a late answer goes.
pub struct ReplyTo {
    address: libc::sockaddr_storage,
    address_len: u32,
    control: Control,
    control_len: usize,
}

impl ReplyTo {
    /// Sends one answer; a failure loses it, as the network might have.
    pub fn send(&self, socket: BorrowedFd<'_>, answer: &[u8]) {
        let mut vector = libc::iovec { iov_base: answer.as_ptr().cast_mut().cast(), iov_len: answer.len() };
        // SAFETY: an all-zero header is valid; the pointers set below lead to
        // memory that lives until the call returns, and the system only reads.
        unsafe {
            let mut header: libc::msghdr = zeroed();
            header.msg_name = (&raw const self.address).cast_mut().cast();
            header.msg_namelen = self.address_len;
            header.msg_iov = &mut vector;
            header.msg_iovlen = 1;
            if self.control_len > 0 {
                header.msg_control = self.control.0.as_ptr().cast_mut().cast();
                header.msg_controllen = self.control_len;
            }
            libc::sendmsg(socket.as_raw_fd(), &header, libc::MSG_DONTWAIT);
        }
    }
}

/// Clears the interface in a received packet-information message.
fn prepare_control(control: &mut Control) {
    // SAFETY: the buffer is aligned for and larger than a cmsghdr followed by
    // either structure; all of them are plain integers, valid for any bytes.
    unsafe {
        let head = &*control.0.as_ptr().cast::<libc::cmsghdr>();
        let data = control.0.as_mut_ptr().add(libc::CMSG_LEN(0) as usize);
        match (head.cmsg_level, head.cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                (*data.cast::<libc::in_pktinfo>()).ipi_ifindex = 0;
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let info = &mut *data.cast::<libc::in6_pktinfo>();
                if !Ipv6Addr::from(info.ipi6_addr.s6_addr).is_unicast_link_local() {
                    info.ipi6_ifindex = 0;
                }
            }
            _ => {}
        }
    }
}

#[inline]
fn client_of(address: &libc::sockaddr_storage) -> IpAddr {
    // SAFETY: sockaddr_storage is large enough and aligned for both forms, and
    // the system has written the one that the family names.
    unsafe {
        match i32::from(address.ss_family) {
            libc::AF_INET => {
                let v4 = &*(&raw const *address).cast::<libc::sockaddr_in>();
                Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)).into()
            }
            libc::AF_INET6 => {
                let v6 = &*(&raw const *address).cast::<libc::sockaddr_in6>();
                Ipv6Addr::from(v6.sin6_addr.s6_addr).to_canonical()
            }
            _ => Ipv4Addr::UNSPECIFIED.into(),
        }
    }
}

/// Asks the system to say to which address each datagram was sent.
///
/// # Errors
/// What the system says.
pub fn report_destination(socket: BorrowedFd<'_>, address: SocketAddr) -> io::Result<()> {
    let on: libc::c_int = 1;
    let set = |level, option| {
        // SAFETY: the option takes an int, whose address and size are given.
        let result = unsafe {
            libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), size_of::<libc::c_int>() as u32)
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    match address {
        SocketAddr::V4(_) => set(libc::IPPROTO_IP, libc::IP_PKTINFO),
        SocketAddr::V6(_) => set(libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
    }
}
