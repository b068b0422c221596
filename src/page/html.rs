//! How the page looks.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Notice, View};

/// All of the style: small, calm, for phones first, and for dark ones too. Pairs
/// of colours have a contrast of at least 4.5 (WCAG 2.2).
const STYLE: &str = include_str!("style.css");

/// What browsers may do with the page (CSP level 3): show it with its own style,
/// and send its form back to where it came from.
pub(super) fn policy() -> &'static str {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        let hash = STANDARD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes()));
        format!(
            "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; form-action 'self'; \
             base-uri 'none'; frame-ancestors 'none'"
        )
    });
    &POLICY
}

/// The whole page.
pub(super) fn page(view: &View<'_>) -> String {
    let (scheme, language) = (view.scheme, view.language);
    let say = |key: &str| {
        let days = scheme.review_days.to_string();
        let arguments = [
            ("organisation", &*scheme.organisation),
            ("report", &*scheme.report_name),
            ("code", &*view.code),
            ("days", &*days),
        ];
        language.say(key, &arguments)
    };
    let taken = view.notice == Some(Notice::Taken);
    let title = say(if taken { "appeal-ok-title" } else { "title" });
    html! {
        (DOCTYPE)
        html lang=(language.code) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                meta name="color-scheme" content="light dark";
                title { (title) }
                // Without it each browser would ask for an icon.
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p { (scheme.organisation) }
                    // With the answer there is a number, which another page would not show.
                    @if !taken { nav aria-label=(names(view)) {
                        @for other in &scheme.languages {
                            @if other.code == language.code {
                                span lang=(other.code) aria-current="true" { (other.name) }
                            } @else {
                                a href={ "?lang=" (other.code) } lang=(other.code) hreflang=(other.code) { (other.name) }
                            }
                        }
                    } }
                }
                main {
                    @if taken {
                        h1 { (title) }
                        p.calm { (say("appeal-ok")) }
                        p { (say("appeal-ask")) " " (contact(view)) }
                        p { a href={ "?lang=" (language.code) } { (say("back")) } }
                    } @else {
                        h1 { (title) }
                        p.calm { (say("calm")) }
                        p { (view.why) }
                    }
                    (help(view, &say))
                    @if !taken { (appeal(view, &say)) }
                }
                footer {
                    p { (say("privacy")) }
                    p { (say("who")) }
                }
            }
        }
    }
    .into_string()
}

fn names(view: &View<'_>) -> String {
    view.scheme.languages.iter().map(|language| &*language.name).collect::<Vec<_>>().join(", ")
}

/// The first thing that a child should find.
fn help(view: &View<'_>, say: &impl Fn(&str) -> String) -> Markup {
    let code = &view.language.code;
    html! {
        section.help {
            h2 { (say("help-title")) }
            @for (at, helpline) in view.scheme.helplines.iter().enumerate() {
                p { a.call[at == 0] href={ "tel:" (helpline.tel) } { (helpline.sentence[code]) } }
            }
            p { (say("help-trust")) }
            p { a href=(view.scheme.report_url) rel="noreferrer" { (say("report")) } }
        }
    }
}

fn appeal(view: &View<'_>, say: &impl Fn(&str) -> String) -> Markup {
    let wrong = view.notice == Some(Notice::NoSite);
    html! {
        section {
            @if view.form {
                h2 { (say("appeal-title")) }
                @if view.notice == Some(Notice::Full) { p.wrong role="alert" { (say("appeal-full")) } }
                form method="post" action={ "?lang=" (view.language.code) "#site" } {
                    p { (say("appeal")) }
                    label for="site" { (say("appeal-site")) }
                    @if wrong { p #wrong .wrong role="alert" { (say("appeal-wrong")) } }
                    input #site name="site" type="text" inputmode="url" autocomplete="off" autocapitalize="none"
                        spellcheck="false" maxlength="255" required value=(view.site) autofocus[wrong]
                        aria-invalid=[wrong.then_some("true")] aria-describedby=[wrong.then_some("wrong")];
                    input name="code" type="hidden" value=(view.code);
                    button { (say("appeal-button")) }
                    p.small { (say("appeal-privacy")) }
                }
            } @else {
                p { (say("appeal-mail")) " " (contact(view)) }
            }
        }
    }
}

/// Where people ask, as links.
fn contact(view: &View<'_>) -> Markup {
    html! {
        @for (at, address) in view.scheme.contact.iter().enumerate() {
            @if at > 0 { ", " }
            a href=(address) { (address.split_once(':').map_or("", |(_, rest)| rest)) }
        }
    }
}
