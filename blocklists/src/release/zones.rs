//! Open releases as response policy zones, for networks that run other software. Pure.
//!
//! There is a zone for the class and one for each of its categories, and in each the public test name of its
//! categories, so that a subscriber can see that the zone is in force. The other canaries stay out: they prove what the
//! resolver of the scheme enforces, and a zone would show them to everybody.

use signed_list::list::Scope;
use signed_list::release::Class;

use super::scheme::Scheme;
use super::select::{Entry, Head};
use crate::transfer::zone;

/// What the zones of a class are called: the class and its categories; none for a sealed class.
pub fn lists(scheme: &Scheme, class: Class) -> Vec<String> {
    if class.is_sealed() {
        return Vec::new();
    }
    // A category that is called like a class would take its place.
    let is_class = |word: &String| Class::of_word(word).is_some();
    let categories = scheme.categories(class).iter().filter(|word| !is_class(word));
    [class.word().to_owned()].into_iter().chain(categories.cloned()).collect()
}

/// Where a zone lies in a stage.
pub fn staged(list: &str) -> String {
    format!("zones/{list}.rpz")
}

/// The zones of a release, by class or category, with their text.
pub fn make(scheme: &Scheme, head: &Head<'_>, entries: &[Entry]) -> Vec<(String, String)> {
    let categories = scheme.categories(head.class);
    let created = crate::ledger::minute(head.created);
    let zone = |list: String| {
        let number = categories.iter().position(|category| *category == list);
        let wanted = |category: usize| number.is_none_or(|number| number == category);
        let tests: Vec<_> = categories
            .iter()
            .enumerate()
            .filter(|(category, _)| wanted(*category))
            .filter_map(|(_, category)| head.canaries.test(category))
            .collect();
        let tests = tests.iter().map(|name| (name, Scope::Subtree));
        let entries = entries.iter().filter(|entry| wanted(usize::from(entry.category)));
        let entries = entries.map(|entry| (&entry.name, entry.scope));
        let zone = zone::Head { list: &list, scheme: &scheme.name, serial: head.serial, created: &created };
        let text = zone::write(entries.chain(tests), &zone);
        (list, text)
    };
    lists(scheme, head.class).into_iter().map(zone).collect()
}
