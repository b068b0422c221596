//! Questions, encoded once: header with RD, one question, EDNS with a 1,232-octet buffer (RFC 1035, RFC 6891).

use std::path::{Path, PathBuf};

/// Octets before the question section.
pub(crate) const HEADER: usize = 12;
/// Octets of the OPT record at the end.
const OPT: [u8; 11] = [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0];
/// Mnemonics taken from the files; any other is written as `TYPE65`.
const TYPES: [(&str, u16); 16] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("SRV", 33),
    ("NAPTR", 35),
    ("DS", 43),
    ("DNSKEY", 48),
    ("SVCB", 64),
    ("HTTPS", 65),
    ("ANY", 255),
    ("CAA", 257),
];

/// Why there are no questions; whoever wrote the file must act.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QuestionError {
    #[error("cannot read {file}: {source}")]
    Read { file: PathBuf, source: std::io::Error },
    #[error("{file} holds no question; write one \"name TYPE\" a line")]
    Empty { file: PathBuf },
    #[error("{file}:{line}: {problem}")]
    Line { file: PathBuf, line: usize, problem: String },
    #[error("--probe \"{text}\": {problem}")]
    Probe { text: String, problem: String },
}

/// All questions, one after the other in one piece of memory, so that asking them in turn reads it in turn.
pub(crate) struct Questions {
    wire: Vec<u8>,
    /// `wire[ends[i - 1]..ends[i]]` is question `i`.
    ends: Vec<u32>,
}

impl Questions {
    /// Reads "name TYPE" lines; `prefix` becomes the first label of every name.
    pub(crate) fn read(file: &Path, prefix: Option<&str>, shuffle: bool) -> Result<Questions, QuestionError> {
        let text =
            std::fs::read_to_string(file).map_err(|source| QuestionError::Read { file: file.to_path_buf(), source })?;
        let mut lines: Vec<(usize, &str)> =
            text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).collect();
        if lines.is_empty() {
            return Err(QuestionError::Empty { file: file.to_path_buf() });
        }
        if shuffle {
            mix(&mut lines);
        }
        let mut questions = Questions { wire: Vec::with_capacity(text.len() * 2), ends: Vec::new() };
        for (at, line) in lines {
            questions.push(line, prefix).map_err(|problem| QuestionError::Line {
                file: file.to_path_buf(),
                line: at + 1,
                problem,
            })?;
        }
        Ok(questions)
    }

    /// The one question of a probe.
    pub(crate) fn one(text: &str) -> Result<Questions, QuestionError> {
        let mut questions = Questions { wire: Vec::new(), ends: Vec::new() };
        questions.push(text, None).map_err(|problem| QuestionError::Probe { text: text.to_owned(), problem })?;
        Ok(questions)
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The message of question `index`, with id 0.
    pub(crate) fn message(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.wire[start..self.ends[index] as usize]
    }

    /// The question section of question `index`, as an answer must repeat it.
    pub(crate) fn section(&self, index: usize) -> &[u8] {
        let message = self.message(index);
        &message[HEADER..message.len() - OPT.len()]
    }

    fn push(&mut self, line: &str, prefix: Option<&str>) -> Result<(), String> {
        let mut fields = line.split_whitespace();
        let (Some(name), Some(kind), None) = (fields.next(), fields.next(), fields.next()) else {
            return Err(format!("expected \"name TYPE\", found \"{line}\""));
        };
        let kind = kind_of(kind).ok_or_else(|| format!("unknown type \"{kind}\"; write it as TYPE65"))?;
        self.wire.extend_from_slice(&[0, 0, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
        let start = self.wire.len();
        let name = name.strip_suffix('.').unwrap_or(name);
        for label in prefix.into_iter().chain(name.split('.').filter(|_| !name.is_empty())) {
            if label.is_empty() || label.len() > 63 {
                return Err(format!("\"{name}\" has a label that is empty or longer than 63 octets"));
            }
            self.wire.push(label.len() as u8);
            self.wire.extend_from_slice(label.as_bytes());
        }
        self.wire.push(0);
        if self.wire.len() - start > 255 {
            return Err(format!("\"{name}\" is longer than 255 octets"));
        }
        self.wire.extend_from_slice(&kind.to_be_bytes());
        self.wire.extend_from_slice(&[0, 1]);
        self.wire.extend_from_slice(&OPT);
        let end = u32::try_from(self.wire.len()).map_err(|_| "more than 4 GiB of questions".to_owned())?;
        self.ends.push(end);
        Ok(())
    }
}

fn kind_of(text: &str) -> Option<u16> {
    let known = TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, number)| *number);
    known.or_else(|| text.strip_prefix("TYPE")?.parse().ok())
}

/// Fisher and Yates with a fixed xorshift sequence: the same order in every run, therefore for every subject.
fn mix<T>(items: &mut [T]) {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    for i in (1..items.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        items.swap(i, (state % (i as u64 + 1)) as usize);
    }
}
