//! What an admin of the ledger does for a publisher: has the ledger know its own key.

use std::path::Path;

use super::Failure;
use super::place::now;
use super::press::Press;
use crate::ledger::Ledger;
use crate::ledger::event::{Event, Key, Role};
use crate::ledger::words::{Label, Remark};
use crate::person::{Person, PersonId};

/// Reads the key of an admin; of anybody else it is refused, before anything is made.
pub async fn read(path: &Path, ledger: &Ledger) -> Result<Person, Failure> {
    let admin = Person::read(path)?;
    if !ledger.member(&admin.id()).await?.is_some_and(|member| member.is(Role::Admin)) {
        return Err(format!("the key {} is not that of an admin of the ledger; nothing was made", admin.id()).into());
    }
    Ok(admin)
}

/// Registers a publisher's own key, so that it can note releases.
pub async fn register(ledger: &Ledger, publisher: &Person, admin: &Person) -> Result<(), Failure> {
    let person = Key::from(&publisher.introduction());
    let event = Event::PersonAdded { person, label: Label::parse("publisher")?, roles: vec![Role::Operator] };
    ledger.append(event, admin, now()).await?;
    Ok(())
}

/// Retires the key that a publisher had and registers the one that it has now. In this order, because two who sign are
/// not called the same.
pub async fn hand_over(press: &Press, before: &PersonId, admin: &Person) -> Result<(), Failure> {
    let old = press.ledger.member(before).await?;
    if old.is_some_and(|member| member.retired.is_none()) {
        let reason = Remark::parse("the publisher has a new key")?;
        press.ledger.append(Event::PersonRetired { person: before.clone(), reason }, admin, now()).await?;
    }
    register(&press.ledger, &press.work.online()?, admin).await
}
