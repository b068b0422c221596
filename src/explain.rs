//! Why is this name blocked, or not? For the person who is asked that.
//!
//! The answer comes from the same stages that answer questions, on the
//! configuration and the lists as they are on disk now; nothing is sent to
//! anybody. What a name leads to is only known once it has been resolved and is
//! not part of it.

use std::net::IpAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use signed_list::digest::Suffixes;
use signed_list::list::Scope;
use signed_list::name::Name;

use crate::config::Layer;
use crate::filter::Verdict;
use crate::lists::Manner;
use crate::origin::{self, Beside, Origin};
use crate::pipeline::Snapshot;
use crate::policy;
use crate::scheme::Scheme;
use crate::service;
use crate::wire::WireName;

/// A question to explain.
pub struct Asked {
    /// The name, as a person writes it.
    pub name: String,
    /// Who asks.
    pub client: IpAddr,
    /// Print JSON.
    pub json: bool,
}

/// The whole decision.
#[derive(Serialize)]
struct Explanation {
    name: String,
    client: IpAddr,
    /// "blocked", "allowed", "replaced", "answered locally", "forwarded", "not answered" or "refused".
    result: &'static str,
    /// The same as a sentence.
    because: String,
    /// The network that gave the client its policy.
    network: Option<String>,
    policy: Option<String>,
    layer: Option<&'static str>,
    category: Option<String>,
    /// Every list that has the name, in force for this client or not.
    lists: Vec<Hit>,
}

#[derive(Serialize)]
struct Hit {
    list: String,
    serial: u64,
    created: u64,
    categories: Vec<String>,
}

/// Prints why a name gets the answer that it gets.
///
/// # Errors
/// A sentence: the name, the configuration or a list is not usable.
pub fn explain(origin: &Origin, asked: &Asked) -> Result<(), String> {
    let name = Name::parse(&asked.name).map_err(|error| format!("'{}' is not a domain name: {error}", asked.name))?;
    let Loaded { snapshot, notes, waiting } = load(origin)?;
    for note in notes.iter().chain(&waiting) {
        eprintln!("note: {note}");
    }
    let explanation = judge(&snapshot, &name, asked.client.to_canonical());
    if asked.json {
        println!("{}", serde_json::to_string_pretty(&explanation).map_err(|error| error.to_string())?);
    } else {
        print(&explanation);
    }
    Ok(())
}

/// Checks a configuration file and all lists that it names.
///
/// # Errors
/// What is wrong, with file and line.
pub fn check(file: &Path) -> Result<(), String> {
    let Loaded { snapshot, notes, waiting } = load(&Origin::File(file.into()))?;
    origin::keys(&snapshot.config, None).map_err(|error| error.to_string())?;
    service::check(&snapshot.config).map_err(|error| error.to_string())?;
    // That a copy would stand in for a spoiled list does not make it good.
    if !notes.is_empty() {
        return Err(notes.join("\n"));
    }
    println!("{} is good.", file.display());
    for note in waiting {
        println!("  {note}");
    }
    let config = &snapshot.config;
    println!(
        "  {}, {}, {}",
        count(config.server.listen.len(), "listening address", "listening addresses"),
        count(config.policies.len(), "policy", "policies"),
        count(config.categories.len(), "category", "categories"),
    );
    for loaded in snapshot.filter.every_list() {
        let age = age(loaded.created());
        let names = count(loaded.names(), "name", "names");
        println!("  list {}: serial {}, {names}, {age}", loaded.name(), loaded.serial());
    }
    for remark in config.remarks() {
        println!("{}", folded("  note: ", &remark));
    }
    Ok(())
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Configuration and lists as they are on the disk.
struct Loaded {
    snapshot: Snapshot,
    /// What is not as it should be.
    notes: Vec<String>,
    /// Lists that the resolver has still to fetch.
    waiting: Vec<String>,
}

fn load(origin: &Origin) -> Result<Loaded, String> {
    let config = origin.config().map_err(|error| error.to_string())?;
    let (mut notes, mut waiting) = (Vec::new(), Vec::new());
    let followers = origin::followers(&config, &[], false)?;
    for follower in &followers {
        match (follower.status().problem, follower.list()) {
            (Some(problem), _) => notes.push(format!("list {}: {problem}", follower.name())),
            (None, None) => waiting.push(format!("list {}: followed, and not fetched yet", follower.name())),
            (None, Some(_)) => {}
        }
    }
    let beside = Beside { keys: None, scheme: Scheme::load(config.scheme.as_deref())?.into() };
    let snapshot = origin::snapshot(origin, config, 1, beside, &[], &followers, Manner::Look, &mut notes);
    let snapshot = snapshot.map_err(|error| error.to_string())?;
    Ok(Loaded { snapshot, notes, waiting })
}

fn judge(snapshot: &Snapshot, name: &Name, client: IpAddr) -> Explanation {
    let mut wire = WireName::ROOT;
    wire.read_plain(name.as_wire(), 0).expect("a parsed name is canonical");
    let config = &snapshot.config;
    let who = snapshot.policies.of(client);
    let policy = config.policies.get(who.policy);
    let filter = &snapshot.filter;
    let hits = filter.lists_of(name.as_wire());
    let labels = |mask: u64| {
        let all = config.categories.iter().enumerate();
        all.filter(move |(index, _)| mask & 1 << index != 0).map(|(_, category)| category.name.clone()).collect()
    };
    let mut explanation = Explanation {
        name: name.to_string(),
        client,
        result: "forwarded",
        because: "no list and no rule in force for this client has it; upstreams are asked, and what the answer leads to is checked then".into(),
        network: policy::longest(config, &client.into()).map(|(_, network)| network.to_string()),
        policy: policy.map(|policy| policy.name.clone()),
        layer: None,
        category: None,
        lists: hits
            .iter()
            .map(|(loaded, mask)| Hit {
                list: loaded.name(),
                serial: loaded.serial(),
                created: loaded.created(),
                categories: labels(*mask),
            })
            .collect(),
    };
    let mut suffixes = Suffixes::new();
    let listed = filter.listed(name.as_wire(), &mut suffixes);
    let verdict = filter.decide(who.policy, who.in_force, listed, name.as_wire(), &mut suffixes);
    let stand_in = snapshot.safe_search.of(snapshot.safe_search.stand_in(who.search, name.as_wire()));
    let mut say = |result, because: String| (explanation.result, explanation.because) = (result, because);
    if !who.served {
        say("refused", "the client is in no network of [access] allow".into());
    } else if snapshot.local.is_signal(&wire) {
        say("answered locally", "browsers and phones read this name as a signal; it never goes to an upstream".into());
    } else {
        match verdict {
            Verdict::Listed(index, scope) => {
                let category = &config.categories[index];
                let layer = layer_name(category.layer);
                say(
                    "blocked",
                    format!(
                        "it is listed{} in category '{}' of the {layer} layer, which is in force for this client",
                        alone(scope),
                        category.name
                    ),
                );
                (explanation.layer, explanation.category) = (Some(layer), Some(category.name.clone()));
            }
            Verdict::Denied(scope) => {
                let alone = alone(scope);
                say("blocked", format!("the policy denies it by itself{alone}, and answers as the family layer does"));
                explanation.layer = Some("family");
            }
            Verdict::Allowed if stand_in.is_some() => {}
            Verdict::Allowed => {
                say("allowed", "the policy allows it by itself; only the legal layer could block it".into())
            }
            Verdict::Pass => {
                if let Some(zone) = snapshot.local.zone_of(&wire) {
                    let zone = Name::from_wire(zone).map_or_else(|_| "?".into(), |zone| zone.to_string());
                    let what = match zone.as_str() {
                        "localhost" => "is this machine itself: its loopback addresses are the answer",
                        _ => "is a special-use or private zone and holds nothing here",
                    };
                    say("answered locally", format!("'{zone}' {what}"));
                } else if snapshot.incomplete {
                    say("not answered", "a list that is followed is not here yet, and the name might be on it".into());
                } else if stand_in.is_none() && listed.name != 0 {
                    let names = labels(listed.name).join(", ");
                    let why = match policy {
                        Some(_) => format!("it is listed in {names}, which this client's policy does not have"),
                        None => format!(
                            "it is listed in {names}, but no policy is this client's: only the legal layer filters for it"
                        ),
                    };
                    say("forwarded", why);
                }
            }
        }
    }
    if let Some(stand_in) = stand_in.filter(|_| explanation.result == "forwarded") {
        explanation.result = "replaced";
        explanation.because =
            format!("searching is safe for this client: {} answers as {}", stand_in.engine, stand_in.target());
    }
    explanation
}

fn alone(scope: Scope) -> &'static str {
    match scope {
        Scope::Exact => " (the name alone, not those below it)",
        Scope::Subtree => "",
    }
}

fn layer_name(layer: Layer) -> &'static str {
    match layer {
        Layer::Legal => "legal",
        Layer::Operator => "operator",
        Layer::Family => "family",
    }
}

/// A sentence in lines of at most 79 characters, the later ones as far in as the first.
fn folded(head: &str, text: &str) -> String {
    let mut lines = vec![head.to_owned()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("never empty");
        if last.len() + word.len() > 78 && last.len() > head.len() {
            lines.push(" ".repeat(head.len()) + word);
        } else {
            let gap = if last.len() > head.len() { " " } else { "" };
            last.push_str(&format!("{gap}{word}"));
        }
    }
    lines.join("\n")
}

fn print(explanation: &Explanation) {
    let line = |key: &str, value: &str| println!("{key:<9} {value}");
    line("name", &explanation.name);
    line("client", &explanation.client.to_string());
    let policy = explanation.policy.as_deref().unwrap_or("none");
    let network = explanation.network.as_deref().unwrap_or("no network of a policy");
    line("policy", &format!("{policy} (by {network})"));
    line("result", explanation.result);
    println!("{}", folded(&" ".repeat(10), &explanation.because));
    for hit in &explanation.lists {
        line(
            "list",
            &format!("{} serial {}: {}, {}", hit.list, hit.serial, hit.categories.join(", "), age(hit.created)),
        );
    }
}

fn age(created: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    match (created, now.saturating_sub(created)) {
        (0, _) => "built in".into(),
        (_, seconds) if seconds < 7200 => format!("made {} minutes ago", seconds / 60),
        (_, seconds) if seconds < 172_800 => format!("made {} hours ago", seconds / 3600),
        (_, seconds) => format!("made {} days ago", seconds / 86_400),
    }
}
