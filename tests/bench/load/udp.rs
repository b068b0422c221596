//! Questions over UDP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread;

use socket2::SockRef;

use crate::Plan;
use crate::mmsg::{BATCH, Batch, Route};
use crate::tally::Tally;
use crate::window::Window;

/// The first client address is the one after this.
pub(crate) const CLIENTS: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 0);
/// Most client addresses: up to 127.127.255.255.
const MOST_CLIENTS: u32 = 127 << 16;
/// Questions one socket sends in a row by the clock, so that a burst that is due spreads over the sockets.
const BURST: usize = 8;
/// Time-outs are looked for so often, in nanoseconds; a scan of all windows costs some microseconds.
const SCAN: u64 = 20_000_000;

/// One socket and its open questions.
struct Flow {
    socket: UdpSocket,
    window: Window,
}

/// What is asked next.
struct Cursor {
    /// Questions asked so far.
    asked: u64,
    client: u32,
}

/// Client address number `index`, for both transports.
pub(crate) fn client(index: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(CLIENTS) + 1 + index % MOST_CLIENTS)
}

pub(crate) fn run(plan: &Plan, sockets: usize, rate: Option<u64>, tally: &mut Tally) -> io::Result<()> {
    let route = match (plan.server, plan.clients) {
        (SocketAddr::V4(server), Some(_)) => Route::Spread(server),
        _ => Route::Connected,
    };
    let sockets = sockets.min(plan.window);
    let mut flows = Vec::with_capacity(sockets);
    for _ in 0..sockets {
        flows.push(Flow { socket: open(plan.server, route)?, window: Window::new(plan.window / sockets) });
    }
    let (mut incoming, mut outgoing) = (Batch::new(route), Batch::new(route));
    let mut cursor = Cursor { asked: 0, client: 0 };
    let (end, timeout) = (plan.seconds.as_nanos() as u64, plan.timeout.as_nanos() as u64);
    let (mut next_scan, mut next_flow, mut due_before) = (SCAN, 0, 0);
    let mut stopped_at = None;
    tally.begin();
    loop {
        let mut idle = true;
        let asking = stopped_at.is_none();
        for flow in &mut flows {
            if flow.window.open() > 0 {
                let received = incoming.receive(&flow.socket, false)?;
                if received > 0 {
                    idle = false;
                    let now = tally.now();
                    for i in 0..received {
                        tally.answer(incoming.packet(i), &mut flow.window, &plan.questions, now);
                    }
                }
            }
            if asking && rate.is_none() && flow.window.room() > 0 {
                let now = tally.now();
                let most = (plan.count - cursor.asked).min(BATCH as u64) as usize;
                idle &= ask(plan, flow, &mut outgoing, &mut cursor, most, |_| now, tally)? == 0;
            }
        }
        let now = tally.now();
        if let Some(rate) = rate
            && asking
        {
            let due = ((u128::from(now) * u128::from(rate) / 1_000_000_000) as u64).min(plan.count);
            let mut full = 0;
            while due_before < due && full < flows.len() {
                let flow = &mut flows[next_flow];
                next_flow = (next_flow + 1) % sockets;
                let first = due_before;
                let moment = |i: u64| ((u128::from(first + i) * 1_000_000_000) / u128::from(rate)) as u64;
                let burst = (due - due_before).min(BURST as u64) as usize;
                let sent = ask(plan, flow, &mut outgoing, &mut cursor, burst, moment, tally)?;
                full = if sent == 0 { full + 1 } else { 0 };
                due_before += sent as u64;
                idle &= sent == 0;
            }
            // every window is full: these moments are gone, and the report says so
            tally.unsent(due - due_before);
            due_before = due;
        }
        if now >= next_scan {
            next_scan = now + SCAN;
            for flow in &mut flows {
                tally.lost(flow.window.expire(now.saturating_sub(timeout)));
            }
        }
        if asking && (now >= end || due_before.max(cursor.asked) >= plan.count) {
            stopped_at = Some(now);
            tally.stop(now);
        }
        if let Some(at) = stopped_at
            && (flows.iter().all(|flow| flow.window.open() == 0) || now > at + timeout + 2 * SCAN)
        {
            break;
        }
        if idle {
            // lets an upstream that shares this core do its work; costs nothing when nobody does
            thread::yield_now();
        }
    }
    for flow in &mut flows {
        tally.lost(flow.window.expire(u64::MAX));
    }
    Ok(())
}

/// Sends up to `most` questions over one flow; how many went out. `moment(i)` is when question `i` of them counts
/// as asked.
fn ask(
    plan: &Plan,
    flow: &mut Flow,
    batch: &mut Batch,
    cursor: &mut Cursor,
    most: usize,
    moment: impl Fn(u64) -> u64,
    tally: &mut Tally,
) -> io::Result<usize> {
    let mut ids = [0u16; BATCH];
    let mut number = 0;
    while number < most.min(BATCH) {
        let question = ((cursor.asked + number as u64) % plan.questions.len() as u64) as usize;
        let Some(id) = flow.window.ask(question, moment(number as u64)) else {
            break;
        };
        batch.fill(number, plan.questions.message(question))[..2].copy_from_slice(&id.to_be_bytes());
        if let Some(clients) = plan.clients {
            batch.source(number, client(cursor.client));
            cursor.client = (cursor.client + 1) % clients;
        }
        ids[number] = id;
        number += 1;
    }
    if number == 0 {
        return Ok(0);
    }
    let sent = batch.send(&flow.socket, number)?;
    for id in &ids[sent..number] {
        flow.window.withdraw(*id);
    }
    cursor.asked += sent as u64;
    tally.sent(sent as u64);
    Ok(sent)
}

/// A socket that is connected (the kernel then looks up the route once, not for every packet), or bound to every
/// address when the source is chosen packet by packet.
fn open(server: SocketAddr, route: Route) -> io::Result<UdpSocket> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    let options = SockRef::from(&socket);
    options.set_recv_buffer_size(4 << 20)?;
    options.set_send_buffer_size(4 << 20)?;
    if matches!(route, Route::Connected) {
        socket.connect(server)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}
