//! `friendly-blocklist person`: keys, and who may do what.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::Failure;
use super::place::{Place, Signer, Why, block_on, now};
use super::screen::{self, Look, cell, marked};
use crate::ledger::date;
use crate::ledger::event::{Event, Key, Role};
use crate::ledger::rules::Member;
use crate::ledger::words::Label;
use crate::person::{Introduction, Person, PersonId};
use crate::release::state::roles_of;

/// Make keys, and register people
///
/// A person is a signing key. Whoever is to be registered makes one with `person new` and hands over the introduction
/// that comes with it, which holds nothing secret; an admin registers it with `person add`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Make a key, and beside it the introduction to hand over
    New {
        /// The key file to make, such as ana.pem; the introduction is ana.person
        file: PathBuf,
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Print the introduction of a key that exists
    Show {
        /// Your own key
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Register somebody, or change the roles of somebody; only an admin can
    Add {
        /// The introduction: its file, or - for standard input
        introduction: PathBuf,
        /// What colleagues call them
        #[arg(long, value_name = "TEXT")]
        label: Label,
        /// What they may do; may be given several times
        #[arg(long, value_name = "ROLE", required = true)]
        role: Vec<RoleWord>,
        #[command(flatten)]
        signer: Signer,
        #[command(flatten)]
        place: Place,
    },
    /// Retire a key: its holder has left, or it is lost; only an admin can
    ///
    /// Its approvals that wait for a second one count no longer. A key that is also a root or legal key of the repository
    /// stays one until `rotate-key` replaces it there, too.
    Retire {
        /// The key's short form, 16 hexadecimal digits
        id: PersonId,
        #[command(flatten)]
        why: Why,
        #[command(flatten)]
        signer: Signer,
        #[command(flatten)]
        place: Place,
    },
    /// Show who is registered
    List {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleWord {
    /// Registers people, decides about no case; goes with no other role
    Admin,
    /// Takes in, assesses and classifies
    Analyst,
    /// Approves listings
    Approver,
    /// Decides appeals, looks after what one person did alone
    Officer,
    /// Keeps the lists of operator and venues, makes releases
    Operator,
}

impl RoleWord {
    fn role(self) -> Role {
        match self {
            RoleWord::Admin => Role::Admin,
            RoleWord::Analyst => Role::Analyst,
            RoleWord::Approver => Role::Approver,
            RoleWord::Officer => Role::Officer,
            RoleWord::Operator => Role::Operator,
        }
    }
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.step {
        Step::New { file, json } => new(file, *json),
        Step::Show { key } => {
            println!("{}", Person::read(key)?.introduction());
            Ok(())
        }
        Step::Add { introduction, label, role, signer, place } => {
            let introduction: Introduction = read(introduction)?.parse()?;
            let roles: Vec<Role> = role.iter().map(|word| word.role()).collect();
            let id = introduction.key().id();
            let words = roles.iter().map(|role| role.word()).collect::<Vec<_>>().join(", ");
            let question = format!("Register the key {id} as '{label}' ({words})?");
            let event = Event::PersonAdded { person: Key::from(&introduction), label: label.clone(), roles };
            write(place, signer, event, &question, &id, &format!("{label} ({id}) is registered: {words}."))
        }
        Step::Retire { id, why, signer, place } => {
            let event = Event::PersonRetired { person: id.clone(), reason: why.reason()? };
            let roles = roles_of(&place.work, id).into_iter();
            let rotate = roles.map(|role| format!("`rotate-key --role {role} --remove {id}`")).collect::<Vec<_>>();
            let left = match rotate.is_empty() {
                true => String::new(),
                false => {
                    format!(" It still holds a role in the repository: take it out with {}.", rotate.join(" and "))
                }
            };
            write(place, signer, event, &format!("Retire the key {id}?"), id, &format!("{id} is retired.{left}"))
        }
        Step::List { place } => list(place),
    }
}

fn new(file: &Path, json: bool) -> Result<(), Failure> {
    let beside = file.with_extension("person");
    if beside.exists() || beside == file {
        return Err(format!("{}: is there already; name another file for the key", beside.display()).into());
    }
    let person = Person::create(file)?;
    let failed =
        |error| format!("{}: {error}; the key is made, print its introduction with `person show`", beside.display());
    let made = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&beside);
    made.and_then(|mut out| writeln!(out, "{}", person.introduction())).map_err(failed)?;
    if json {
        let introduction = person.introduction().to_string();
        println!("{}", json!({ "id": person.id(), "key": file, "introduction": introduction }));
        return Ok(());
    }
    print!("{}", screen::title("New key", person.id().as_str(), Look::Good));
    print!("{}", screen::field("yours alone", &file.display().to_string()));
    print!("{}", screen::field("to hand over", &format!("{} (nothing secret in it)", beside.display())));
    let next = format!(
        "Keep the key where only you can read it, and a copy in a safe. Tell an admin the number above, with which they \
         make sure that it is yours; they register you with: person add {} --label NAME --role ROLE --key ADMIN",
        beside.display()
    );
    print!("\n{}", screen::wrap(&next, 0));
    Ok(())
}

/// An introduction is one short line.
fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let failed = |error| format!("{}: the introduction cannot be read: {error}", path.display());
    let limit = 4096;
    if path.as_os_str() == "-" {
        std::io::stdin().lock().take(limit).read_to_string(&mut text).map_err(failed)?;
    } else {
        fs::File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text)).map_err(failed)?;
    }
    Ok(text)
}

fn write(
    place: &Place,
    signer: &Signer,
    event: Event,
    question: &str,
    id: &PersonId,
    done: &str,
) -> Result<(), Failure> {
    block_on(async {
        let (person, ledger) = (signer.person()?, place.open().await?);
        signer.confirm(question)?;
        let number = ledger.append(event, &person, now()).await?;
        place.say(&json!({ "person": id, "entry": number }), || format!("{done}\n"))?;
        ledger.close().await;
        Ok(())
    })
}

fn list(place: &Place) -> Result<(), Failure> {
    block_on(async {
        let ledger = place.open().await?;
        let members = ledger.members().await?;
        let value: Vec<_> = members
            .iter()
            .map(|member| {
                json!({
                    "id": member.id(), "key": member.key, "label": member.label, "roles": member.roles,
                    "added_by": member.added.by, "added_at": member.added.at / 1000,
                    "retired_at": member.retired.as_ref().map(|act| act.at / 1000),
                })
            })
            .collect();
        let row = |member: &Member| {
            let roles = member.roles.iter().map(|role| role.word()).collect::<Vec<_>>().join(", ");
            let (state, look) = match &member.retired {
                Some(act) => (format!("retired {}", date(act.at / 1000)), Look::Faint),
                None => (format!("since {}", date(member.added.at / 1000)), Look::Plain),
            };
            vec![
                cell(member.id().as_str()),
                marked(member.label.as_str(), Look::Strong),
                cell(roles),
                marked(state, look),
            ]
        };
        let rows: Vec<_> = members.iter().map(row).collect();
        place.print(&value, || screen::table(&["KEY", "LABEL", "ROLES", ""], &rows))?;
        ledger.close().await;
        Ok(())
    })
}
