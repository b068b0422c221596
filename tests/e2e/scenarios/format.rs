//! The text form of a scenario; `tests/scenarios/README.md` describes it for
//! those who write them.

use std::net::Ipv4Addr;
use std::path::Path;
use std::str::FromStr;

use domain::base::iana::{Class, OptRcode, Rtype};
use domain::base::name::Name;

/// One file, read.
#[derive(Default)]
pub(super) struct Scenario {
    /// TOML, without the addresses of this run.
    pub(super) config: String,
    /// Category and rule of every listed name, in the order of the file.
    pub(super) list: Vec<(String, String)>,
    /// File name and names of each allow list.
    pub(super) allow_lists: Vec<(String, Vec<String>)>,
    /// Zone file of the root, as the upstream serves it.
    pub(super) zone: String,
    /// Further lines for NSD's `server:` clause.
    pub(super) nsd: String,
    /// What the upstream says differently from NSD.
    pub(super) changes: Vec<Change>,
    /// Further lines for Unbound's `server:` clause.
    pub(super) unbound: String,
    /// What happens.
    pub(super) steps: Vec<Step>,
}

/// A reply of the upstream that NSD alone would not give.
#[derive(Clone)]
pub(super) struct Change {
    /// Name in lower case, without the last dot.
    pub(super) name: String,
    /// `None` = every type.
    pub(super) rtype: Option<Rtype>,
    /// How the reply differs.
    pub(super) how: Vec<String>,
}

/// One question and what has to come back.
pub(super) struct Step {
    /// Line of the file, from 1.
    pub(super) line: usize,
    /// That line, for one name and one type.
    pub(super) text: String,
    /// Source address.
    pub(super) client: Ipv4Addr,
    /// Over TCP.
    pub(super) tcp: bool,
    /// The packet.
    pub(super) packet: Vec<u8>,
    /// Whether Unbound has to do the same.
    pub(super) peer: Peer,
    /// What has to come back.
    pub(super) expect: Expect,
    /// Questions that have to reach the upstream; `None` = whatever.
    pub(super) asked: Option<Vec<String>>,
}

/// What Unbound does with the same packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// It is not asked.
    Absent,
    /// The same: this is the standard.
    Same,
    /// Something else, which has a reason.
    Differs,
}

/// What has to come back.
#[derive(Clone)]
pub(super) enum Expect {
    /// Nothing.
    Silence,
    /// A message that begins with these octets and, if `true`, ends there.
    Octets(Vec<u8>, bool),
    /// An answer to the question that was sent.
    Answer(Answer),
}

/// What is written of an answer; the rest follows from the question.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) rcode: OptRcode,
    /// Of `aa tc ad`, those that are set.
    pub(super) flags: Vec<String>,
    /// Extended errors, in the order of the message.
    pub(super) errors: Vec<u16>,
    /// `-ra` and `-opt`: what is missing although it is usual.
    pub(super) missing: Vec<String>,
    /// Answer, authority and additional records.
    pub(super) records: [Section; 3],
}

/// Records of one section.
#[derive(Clone, Default)]
pub(super) struct Section {
    pub(super) records: Vec<String>,
    /// There may be more.
    pub(super) open: bool,
}

/// Reads a file; the error says where it is wrong.
pub(super) fn read(path: &Path) -> Result<Scenario, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut scenario = Scenario::default();
    let mut reader = Reader { client: Ipv4Addr::new(127, 0, 0, 1), open: 0 };
    let mut section = String::new();
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        if let Some(name) = line.strip_prefix("--- ") {
            section = name.trim().to_owned();
            if let Some(file) = section.strip_prefix("allow-list ") {
                scenario.allow_lists.push((file.trim().to_owned(), Vec::new()));
            }
            continue;
        }
        reader
            .line(&mut scenario, &section, number, line)
            .map_err(|what| format!("{}:{number}: {what}: {line}", path.display()))?;
    }
    if scenario.steps.is_empty() {
        return Err(format!("{}: no step", path.display()));
    }
    Ok(scenario)
}

/// What lines have in common with the lines above them.
struct Reader {
    client: Ipv4Addr,
    /// Steps that the indented lines belong to: so many at the end.
    open: usize,
}

impl Reader {
    fn line(&mut self, scenario: &mut Scenario, section: &str, number: usize, line: &str) -> Result<(), String> {
        let bare = line.split(" #").next().unwrap_or_default();
        let words: Vec<&str> = if bare.starts_with('#') { Vec::new() } else { bare.split_whitespace().collect() };
        match section {
            "config" => add(&mut scenario.config, line),
            "zone" => add(&mut scenario.zone, line),
            "nsd" => add(&mut scenario.nsd, line),
            "unbound" => add(&mut scenario.unbound, line),
            _ if words.is_empty() => {}
            "list" => {
                for word in &words[1..] {
                    let add = |name: &str| scenario.list.push((words[0].to_owned(), name.to_owned()));
                    match word.strip_prefix('@') {
                        Some(file) => file_of_names(file)?.lines().filter(|name| !name.starts_with('#')).for_each(add),
                        None => [*word].into_iter().for_each(add),
                    }
                }
            }
            "upstream" => {
                let [name, rtype, how @ ..] = &words[..] else { return Err("a name and a type are missing".into()) };
                let rtype = if *rtype == "*" { None } else { Some(parse_rtype(rtype)?) };
                let how = how.iter().map(|word| (*word).to_owned()).collect();
                scenario.changes.push(Change { name: name.trim_end_matches('.').to_lowercase(), rtype, how });
            }
            _ if section.starts_with("allow-list ") => {
                let list = scenario.allow_lists.last_mut().expect("begun with the section");
                list.1.extend(words.iter().map(|word| (*word).to_owned()));
            }
            "steps" if line.starts_with(' ') => {
                let first = scenario.steps.len() - self.open;
                if self.open == 0 {
                    return Err("no question stands above this line".into());
                }
                for step in &mut scenario.steps[first..] {
                    expectation(step, &words)?;
                }
            }
            "steps" => match words[0] {
                "client" => self.client = parse(words.get(1).ok_or("an address is missing")?)?,
                "ask" => self.open = self.ask(scenario, number, &words)?,
                "send" => self.open = self.send(scenario, number, &words)?,
                _ => return Err("a step begins with 'client', 'ask' or 'send'".into()),
            },
            _ => return Err("this line stands in no section that is known".into()),
        }
        Ok(())
    }

    fn ask(&self, scenario: &mut Scenario, line: usize, words: &[&str]) -> Result<usize, String> {
        let [_, names, types, options @ ..] = words else { return Err("a name and a type are missing".into()) };
        let before = scenario.steps.len();
        for name in names.split(',') {
            for rtype in types.split(',') {
                let mut question = Question::default();
                for option in options {
                    question.option(option)?;
                }
                let text = [&["ask", name, rtype], options].concat().join(" ");
                let packet = question.packet(name, parse_rtype(rtype)?)?;
                scenario.steps.push(self.step(line, text, question.tcp, packet, question.peer));
            }
        }
        Ok(scenario.steps.len() - before)
    }

    fn send(&self, scenario: &mut Scenario, line: usize, words: &[&str]) -> Result<usize, String> {
        let tcp = words.contains(&"+tcp");
        let peer = if words.contains(&"standard") { Peer::Same } else { Peer::Absent };
        let octets = words[1..].iter().filter(|word| !matches!(**word, "+tcp" | "standard"));
        let packet = parse_octets(octets.copied())?;
        scenario.steps.push(self.step(line, words.join(" "), tcp, packet, peer));
        Ok(1)
    }

    fn step(&self, line: usize, text: String, tcp: bool, packet: Vec<u8>, peer: Peer) -> Step {
        let expect = Expect::Silence;
        Step { line, text, client: self.client, tcp, packet, peer, expect, asked: None }
    }
}

/// An indented line: what has to come back, or what else has to be so.
fn expectation(step: &mut Step, words: &[&str]) -> Result<(), String> {
    let section = ["answer", "authority", "additional"].iter().position(|name| *name == words[0]);
    match (words[0], section, &mut step.expect) {
        ("unbound-differs:", ..) if words.len() > 1 => step.peer = Peer::Differs,
        ("upstream", ..) => step.asked = Some(asked(&words[1..])),
        ("drop", ..) => step.expect = Expect::Silence,
        ("octets", ..) => {
            let whole = words.last() != Some(&"...");
            let words = words[1..].iter().filter(|word| **word != "...");
            step.expect = Expect::Octets(parse_octets(words.copied())?, whole);
        }
        (_, Some(section), Expect::Answer(answer)) => match words[1..] {
            [] => return Err("a record is missing".into()),
            ["..."] => answer.records[section].open = true,
            _ => answer.records[section].records.push(words[1..].join(" ")),
        },
        (_, Some(_), _) => return Err("the response code has to come first".into()),
        (code, ..) => {
            let rcode = parse_rcode(code)?;
            let mut answer = Answer {
                rcode,
                flags: Vec::new(),
                errors: Vec::new(),
                missing: Vec::new(),
                records: Default::default(),
            };
            for word in &words[1..] {
                match word.strip_prefix("ede=") {
                    Some(codes) => answer.errors = codes.split(',').map(parse).collect::<Result<_, _>>()?,
                    None if matches!(*word, "-ra" | "-opt") => answer.missing.push((*word).to_owned()),
                    None if matches!(*word, "aa" | "tc" | "ad") => answer.flags.push((*word).to_owned()),
                    None => return Err(format!("'{word}' is no flag of an answer")),
                }
            }
            step.expect = Expect::Answer(answer);
        }
    }
    Ok(())
}

/// `nothing`, or questions with a comma between them.
fn asked(words: &[&str]) -> Vec<String> {
    if words == ["nothing"] {
        return Vec::new();
    }
    words.join(" ").split(',').map(|question| question.trim().to_owned()).collect()
}

/// What a question says besides name and type.
struct Question {
    id: u16,
    header: u16,
    class: Class,
    edns: bool,
    payload: u16,
    version: u8,
    dnssec_ok: bool,
    options: Vec<u8>,
    tcp: bool,
    peer: Peer,
}

impl Default for Question {
    fn default() -> Self {
        Question {
            id: 0x5ce0,
            header: 0x0100,
            class: Class::IN,
            edns: true,
            payload: 1232,
            version: 0,
            dnssec_ok: false,
            options: Vec::new(),
            tcp: false,
            peer: Peer::Absent,
        }
    }
}

impl Question {
    fn option(&mut self, word: &str) -> Result<(), String> {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "+do" => self.dnssec_ok = true,
            "+cd" => self.header |= 0x0010,
            "+ad" => self.header |= 0x0020,
            "+aa" => self.header |= 0x0400,
            "+tc" => self.header |= 0x0200,
            "+z" => self.header |= 0x0040,
            "-rd" => self.header &= !0x0100,
            "+noedns" => self.edns = false,
            "+tcp" => self.tcp = true,
            "bufsize" => self.payload = parse(value)?,
            "version" => self.version = parse(value)?,
            "class" => self.class = value.parse().map_err(|_| format!("'{value}' is no class"))?,
            "opcode" => self.header |= parse::<u16>(value)? << 11,
            "id" => self.id = u16::from_str_radix(value, 16).map_err(|_| format!("'{value}' is no id"))?,
            "option" => {
                let (code, data) = value.split_once(':').unwrap_or((value, ""));
                let data = parse_octets([data].into_iter().filter(|data| !data.is_empty()))?;
                self.options.extend_from_slice(&parse::<u16>(code)?.to_be_bytes());
                self.options.extend_from_slice(&(data.len() as u16).to_be_bytes());
                self.options.extend_from_slice(&data);
            }
            "standard" => self.peer = Peer::Same,
            _ => return Err(format!("'{word}' is no flag of a question")),
        }
        Ok(())
    }

    fn packet(&self, name: &str, rtype: Rtype) -> Result<Vec<u8>, String> {
        let name = parse_name(name)?;
        let header = [self.id, self.header, 1, 0, 0, u16::from(self.edns)];
        let mut packet: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
        packet.extend_from_slice(name.as_slice());
        packet.extend_from_slice(&rtype.to_int().to_be_bytes());
        packet.extend_from_slice(&self.class.to_int().to_be_bytes());
        if self.edns {
            let [high, low] = self.payload.to_be_bytes();
            let flags = if self.dnssec_ok { 0x80 } else { 0 };
            packet.extend_from_slice(&[0, 0, 41, high, low, 0, self.version, flags, 0]);
            packet.extend_from_slice(&(self.options.len() as u16).to_be_bytes());
            packet.extend_from_slice(&self.options);
        }
        Ok(packet)
    }
}

fn add(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// A text file of the project with one name in each line.
fn file_of_names(file: &str) -> Result<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(path).map_err(|error| format!("{file}: {error}"))
}

fn parse<T: FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("'{word}' cannot be read"))
}

fn parse_rtype(word: &str) -> Result<Rtype, String> {
    word.parse().map_err(|_| format!("'{word}' is no record type"))
}

/// A response code by its usual name.
pub(super) fn parse_rcode(word: &str) -> Result<OptRcode, String> {
    let known = (0..24).map(OptRcode::masked_from_int).find(|code| code.to_string() == word);
    known.ok_or_else(|| format!("'{word}' is no response code"))
}

/// Octets in hexadecimal; `AB*63` repeats, `<www.example>` is a whole name.
pub(super) fn parse_octets<'a>(words: impl Iterator<Item = &'a str>) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    for word in words {
        if let Some(name) = word.strip_prefix('<').and_then(|name| name.strip_suffix('>')) {
            octets.extend_from_slice(parse_name(name)?.as_slice());
            continue;
        }
        let (digits, times) = word.split_once('*').unwrap_or((word, "1"));
        let pair = |at: usize| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let part: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(pair).collect();
        let part = part.ok_or_else(|| format!("'{word}' is not hexadecimal"))?;
        octets.extend(part.repeat(parse(times)?));
    }
    Ok(octets)
}

fn parse_name(name: &str) -> Result<Name<Vec<u8>>, String> {
    Name::from_str(name).map_err(|error| format!("'{name}': {error}"))
}
