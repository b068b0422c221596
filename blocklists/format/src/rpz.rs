//! Response policy zones (RPZ): what a record means, for whoever reads one from a file or by zone transfer.
//!
//! The owner of a record, without the name of its zone, says which questions it is about (the trigger), and the target
//! of its CNAME says what becomes of them. A list of names can hold one kind of trigger, the name asked for.

/// What a CNAME does with the name it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is blocked: NXDOMAIN (`.`), NODATA (`*.`) or no answer (`rpz-drop.`). What a blocked question really gets is
    /// up to the category here.
    Block,
    /// It is let through: `rpz-passthru.`, or the owner itself in the older way of writing it.
    PassThru,
    /// It gets another answer, or has to come over TCP: nothing that a list can do.
    Rewrite,
}

impl Action {
    /// The meaning of a target in text form with the dot at its end. `name` is what the record is about, without a dot.
    pub fn of(target: &str, name: &str) -> Action {
        let is = |other: &str| target.eq_ignore_ascii_case(other);
        if is(".") || is("*.") || is("rpz-drop.") {
            Action::Block
        } else if is("rpz-passthru.") || target.strip_suffix('.').is_some_and(|bare| bare.eq_ignore_ascii_case(name)) {
            Action::PassThru
        } else {
            Action::Rewrite
        }
    }
}

/// Whether the last label of an owner says that its trigger is an address or a name server, not the name asked for.
pub fn is_other_trigger(last: &[u8]) -> bool {
    [&b"rpz-ip"[..], b"rpz-nsip", b"rpz-nsdname", b"rpz-client-ip"].iter().any(|word| last.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_and_triggers() {
        for (target, action) in [
            (".", Action::Block),
            ("*.", Action::Block),
            ("RPZ-drop.", Action::Block),
            ("rpz-passthru.", Action::PassThru),
            ("Bad.test.", Action::PassThru),
            ("bad.test", Action::Rewrite),
            ("rpz-tcp-only.", Action::Rewrite),
            ("safe.example.", Action::Rewrite),
        ] {
            assert_eq!(Action::of(target, "bad.test"), action, "{target}");
        }
        assert!(is_other_trigger(b"RPZ-IP") && is_other_trigger(b"rpz-client-ip"));
        assert!(!is_other_trigger(b"rpz-name"));
    }
}
