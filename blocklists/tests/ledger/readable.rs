//! Internationalised names as people read them.

use friendly_blocklist::command::readable::shown;
use signed_list::name::Name;

fn of(text: &str) -> String {
    shown(&Name::parse(text).unwrap())
}

#[test]
fn letters_stand_behind_the_form_of_dns() {
    assert_eq!(of("fëmijë.example"), "xn--fmij-lpad.example (fëmijë.example)");
    assert_eq!(of("www.bücher.example"), "www.xn--bcher-kva.example (www.bücher.example)");
    assert_eq!(of("деца.example"), "xn--80ahd2e.example (деца.example)");
    assert!(of("παιδιά.example").ends_with(" (παιδιά.example)"));
    assert_eq!(of("plain.example"), "plain.example");
}

#[test]
fn letters_that_deceive_are_not_shown() {
    // Two scripts in a label, look-alikes alone, a dotless i.
    for name in ["pаypal.example", "раураӏ.example", "ехаре.example", "vıp.example", "ріο.example", "þ.example"]
    {
        let text = of(name);
        assert!(text.starts_with("xn--") && !text.contains('('), "{name}: {text}");
    }
    // What does not decode, or decodes to what leads elsewhere.
    for name in ["xn--0.example", "xn--a.example", "xn--example-.example", "xn--ls8h.example"] {
        assert_eq!(of(name), name);
    }
}
