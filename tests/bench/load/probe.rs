//! When does a server give its first right answer?

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::questions::{HEADER, Questions};
use crate::tally::Expectation;

/// The question is asked again so often.
const PAUSE: Duration = Duration::from_millis(5);
/// The id of every probe: an answer to an earlier one is as good.
const ID: [u8; 2] = [0x4f, 0x4b];

/// Waits for a line, then puts a file in the place of another one and tells a process. Done in here, by a program that
/// runs already: to start one takes the processor longer than what is measured.
pub(crate) fn replace(from: &str, to: &str, pid: &str) -> io::Result<()> {
    let pid = pid.parse().ok().and_then(rustix::process::Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    io::stdin().read_line(&mut String::new())?;
    std::fs::rename(from, to)?;
    Ok(rustix::process::kill_process(pid, rustix::process::Signal::HUP)?)
}

/// Asks until the answer is right, at most for `limit`; prints the moment as seconds since 1970.
pub(crate) fn run(
    server: SocketAddr,
    question: &Questions,
    expected: Expectation,
    limit: Duration,
) -> io::Result<bool> {
    let start = Instant::now();
    let mut message = question.message(0).to_vec();
    message[..2].copy_from_slice(&ID);
    let socket = UdpSocket::bind(if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.connect(server)?;
    let mut answer = [0; 4096];
    while start.elapsed() < limit {
        let asked = Instant::now();
        // a refusal (nobody listens yet) comes back from either call, and is waited out like silence
        let _ = socket.send(&message);
        while let Some(left) = PAUSE.checked_sub(asked.elapsed()).filter(|left| !left.is_zero()) {
            socket.set_read_timeout(Some(left))?;
            let Ok(length) = socket.recv(&mut answer) else {
                break;
            };
            let answer = &answer[..length];
            if answer.starts_with(&ID) && expected.fits(answer) && answer[HEADER..].starts_with(question.section(0)) {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                println!("{{\"unix\":{:.6}}}", now.as_secs_f64());
                return Ok(true);
            }
        }
        std::thread::sleep(PAUSE.saturating_sub(asked.elapsed()));
    }
    Ok(false)
}
