//! Counting: what was sent, what came back, how late, how wrong.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::questions::{HEADER, Questions};
use crate::window::Window;

/// Response codes by number (RFC 1035, RFC 2136); those beyond are never in a header of four bits.
const RCODES: [&str; 16] = [
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
    "NOTZONE", "11", "12", "13", "14", "15",
];

/// The response code that right answers have.
#[derive(Clone, Copy)]
pub(crate) struct Expectation(u8);

impl Expectation {
    pub(crate) fn fits(self, answer: &[u8]) -> bool {
        answer.len() >= HEADER && answer[3] & 15 == self.0
    }
}

impl std::str::FromStr for Expectation {
    type Err = String;

    fn from_str(text: &str) -> Result<Expectation, String> {
        let at = RCODES.iter().position(|name| name.eq_ignore_ascii_case(text));
        at.map(|code| Expectation(code as u8)).ok_or_else(|| format!("unknown response code \"{text}\""))
    }
}

/// Latencies in buckets of 1/64 of a power of two: never wrong by more than 1.6 %, 30 KiB, no allocation later.
struct Histogram {
    buckets: Vec<u64>,
    count: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { buckets: vec![0; 64 * 60], count: 0 }
    }
}

impl Histogram {
    fn add(&mut self, nanoseconds: u64) {
        self.buckets[Histogram::bucket(nanoseconds)] += 1;
        self.count += 1;
    }

    fn bucket(value: u64) -> usize {
        if value < 64 {
            return value as usize;
        }
        let shift = 57 - value.leading_zeros() as usize;
        64 * shift + (value >> shift) as usize
    }

    /// Microseconds below which the share `q` of all latencies lies; the middle of the bucket.
    fn quantile(&self, q: f64) -> f64 {
        let rank = (self.count as f64 * q).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= rank {
                if bucket < 64 {
                    return bucket as f64 / 1000.0;
                }
                // `bucket` = 64 * shift + mantissa, and the mantissa is 64..128
                let shift = bucket / 64 - 1;
                let nanoseconds = ((bucket - 64 * shift) as f64 + 0.5) * (1u64 << shift) as f64;
                return nanoseconds / 1000.0;
            }
        }
        0.0
    }
}

/// Shares of the answers whose latency is reported.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)];

/// Counts over one stretch of time.
#[derive(Default)]
struct Counts {
    sent: u64,
    answered: u64,
    /// Not answered within the time-out.
    lost: u64,
    /// Answered after the time-out, twice, or never asked.
    late: u64,
    /// Another code than expected, or another question.
    wrong: u64,
    /// Due by `--rate`, but the window was full.
    unsent: u64,
    rcodes: [u64; 16],
    latency: Histogram,
}

impl Counts {
    /// One line of JSON, written by hand: numbers and fixed words only, nothing that would have to be escaped.
    /// `unix` is when it was written, latencies are in microseconds.
    fn line(&self, seconds: f64) -> String {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let Counts { sent, answered, lost, late, wrong, unsent, .. } = self;
        let qps = *answered as f64 / seconds.max(1e-9);
        let named = RCODES.iter().zip(self.rcodes).filter(|(_, count)| *count > 0);
        let rcodes: Vec<_> = named.map(|(name, count)| format!("\"{name}\":{count}")).collect();
        let latencies = QUANTILES.map(|(name, q)| format!("\"{name}\":{:.1}", self.latency.quantile(q)));
        format!(
            "{{\"unix\":{unix:.3},\"seconds\":{seconds:.3},\"sent\":{sent},\"answered\":{answered},\"lost\":{lost},\
             \"late\":{late},\"wrong\":{wrong},\"unsent\":{unsent},\"qps\":{qps:.0},\"rcodes\":{{{}}},{}}}",
            rcodes.join(","),
            latencies.join(",")
        )
    }
}

/// The counts of a run, and its clock.
pub(crate) struct Tally {
    start: Instant,
    expected: Option<Expectation>,
    whole: Counts,
    /// The second under way, with its end in nanoseconds of the run.
    second: Option<(Counts, u64)>,
    last_answer: u64,
    /// When asking stopped.
    stopped: u64,
}

impl Tally {
    pub(crate) fn new(expected: Option<Expectation>, per_second: bool) -> Tally {
        Tally {
            start: Instant::now(),
            expected,
            whole: Counts::default(),
            second: per_second.then(|| (Counts::default(), 1_000_000_000)),
            last_answer: 0,
            stopped: 0,
        }
    }

    /// Starts the clock anew, once sockets are open.
    pub(crate) fn begin(&mut self) {
        self.start = Instant::now();
    }

    /// Nanoseconds since the beginning; also ends the second under way.
    pub(crate) fn now(&mut self) -> u64 {
        let now = self.start.elapsed().as_nanos() as u64;
        if let Some((counts, end)) = &mut self.second
            && now >= *end
        {
            println!("{}", counts.line(1.0));
            *counts = Counts::default();
            *end += 1_000_000_000;
        }
        now
    }

    pub(crate) fn sent(&mut self, count: u64) {
        self.each(|counts| counts.sent += count);
    }

    pub(crate) fn lost(&mut self, count: u64) {
        if count > 0 {
            self.each(|counts| counts.lost += count);
        }
    }

    pub(crate) fn unsent(&mut self, count: u64) {
        if count > 0 {
            self.each(|counts| counts.unsent += count);
        }
    }

    pub(crate) fn stop(&mut self, now: u64) {
        self.stopped = now;
    }

    /// Counts one message that came in at `now` and closes the question it answers.
    pub(crate) fn answer(&mut self, message: &[u8], window: &mut Window, questions: &Questions, now: u64) {
        let found = if message.len() >= HEADER && message[2] & 0x80 != 0 {
            window.answer(u16::from_be_bytes([message[0], message[1]]))
        } else {
            None
        };
        let Some((question, asked)) = found else {
            return self.each(|counts| counts.late += 1);
        };
        let right = self
            .expected
            .is_none_or(|code| code.fits(message) && message[HEADER..].starts_with(questions.section(question)));
        self.last_answer = now;
        let latency = now.saturating_sub(asked);
        self.each(|counts| {
            counts.answered += 1;
            counts.wrong += u64::from(!right);
            counts.rcodes[usize::from(message[3] & 15)] += 1;
            counts.latency.add(latency);
        });
    }

    /// The whole run as a line: its time ends with the last question or the last answer, whichever came later.
    pub(crate) fn line(&self) -> String {
        self.whole.line(self.stopped.max(self.last_answer) as f64 / 1e9)
    }

    fn each(&mut self, change: impl Fn(&mut Counts)) {
        change(&mut self.whole);
        if let Some((counts, _)) = &mut self.second {
            change(counts);
        }
    }
}
