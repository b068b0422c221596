//! Counting: what was sent, what came back, how late, how wrong.

use std::fmt;
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

impl Histogram {
    fn new() -> Histogram {
        Histogram { buckets: vec![0; 64 * 60], count: 0 }
    }

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

/// Counts over one stretch of time.
struct Counts {
    sent: u64,
    answered: u64,
    lost: u64,
    late: u64,
    wrong: u64,
    unsent: u64,
    rcodes: [u64; 16],
    latency: Histogram,
}

impl Counts {
    fn new() -> Counts {
        Counts {
            sent: 0,
            answered: 0,
            lost: 0,
            late: 0,
            wrong: 0,
            unsent: 0,
            rcodes: [0; 16],
            latency: Histogram::new(),
        }
    }

    fn report(&self, seconds: f64) -> Report {
        let named = RCODES.iter().zip(self.rcodes).filter(|(_, count)| *count > 0);
        Report {
            unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            seconds,
            sent: self.sent,
            answered: self.answered,
            lost: self.lost,
            late: self.late,
            wrong: self.wrong,
            unsent: self.unsent,
            qps: self.answered as f64 / seconds.max(1e-9),
            rcodes: named.map(|(name, count)| (*name, count)).collect(),
            p50: self.latency.quantile(0.5),
            p90: self.latency.quantile(0.9),
            p99: self.latency.quantile(0.99),
            p999: self.latency.quantile(0.999),
        }
    }
}

/// One line of output; latencies in microseconds.
pub(crate) struct Report {
    /// When the line was written, seconds since 1970.
    unix: f64,
    seconds: f64,
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
    qps: f64,
    rcodes: Vec<(&'static str, u64)>,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
}

/// JSON, written by hand: numbers and fixed words only, nothing that would have to be escaped.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{\"unix\":{:.3},\"seconds\":{:.3},", self.unix, self.seconds)?;
        write!(f, "\"sent\":{},\"answered\":{},\"lost\":{},", self.sent, self.answered, self.lost)?;
        write!(f, "\"late\":{},\"wrong\":{},\"unsent\":{},", self.late, self.wrong, self.unsent)?;
        write!(f, "\"qps\":{:.0},\"rcodes\":{{", self.qps)?;
        for (i, (name, count)) in self.rcodes.iter().enumerate() {
            write!(f, "{}\"{name}\":{count}", if i > 0 { "," } else { "" })?;
        }
        write!(f, "}},\"p50\":{:.1},\"p90\":{:.1},", self.p50, self.p90)?;
        write!(f, "\"p99\":{:.1},\"p999\":{:.1}}}", self.p99, self.p999)
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
            whole: Counts::new(),
            second: per_second.then(|| (Counts::new(), 1_000_000_000)),
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
            println!("{}", counts.report(1.0));
            *counts = Counts::new();
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

    /// The whole run: its time ends with the last question or the last answer, whichever came later.
    pub(crate) fn report(&self) -> Report {
        self.whole.report(self.stopped.max(self.last_answer) as f64 / 1e9)
    }

    fn each(&mut self, change: impl Fn(&mut Counts)) {
        change(&mut self.whole);
        if let Some((counts, _)) = &mut self.second {
            change(counts);
        }
    }
}
