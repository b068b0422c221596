//! The report as a page that needs nothing but itself.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Counts, Report};
use crate::scheme::{Language, Scheme};

const STYLE: &str = "body{max-width:44rem;margin:2rem auto;padding:0 1rem;font:1rem/1.5 system-ui,sans-serif;\
    color:#1d2b27;background:#fff}h1{line-height:1.2}table{border-collapse:collapse;width:100%}\
    th,td{padding:.4rem .6rem;border-bottom:1px solid #c9d3cf;text-align:right}\
    th:first-child,td:first-child,td:nth-child(2),th:nth-child(2){text-align:left}\
    svg{width:100%;height:auto}text{font:14px system-ui,sans-serif;fill:#1d2b27}\
    .bar{fill:#0b6b53}.wide{overflow-x:auto}";

/// Heights and widths of the chart, in its own units.
const ROW: usize = 22;
const LABEL: usize = 190;
const WIDTH: usize = 700;
const BARS: usize = WIDTH - LABEL - 80;

/// The whole page.
pub(super) fn page(report: &Report, scheme: &Scheme, language: &Language) -> String {
    let least = report.least.to_string();
    let say = |key: &str| language.say(key, &[("quarter", &report.quarter), ("least", &least)]);
    let named = |category: &str| match category {
        "policy-deny" => say("quarter-denied"),
        other => scheme.category_name(other, language).unwrap_or(other).to_owned(),
    };
    html! {
        (DOCTYPE)
        html lang=(language.code) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (say("quarter-title")) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    p { (report.organisation) }
                    h1 { (say("quarter-title")) }
                    @if !report.complete { p { strong { (say("quarter-open")) } } }
                    p { (say("quarter-intro")) }
                    @if report.categories.is_empty() {
                        p { strong { (say("quarter-none")) } }
                    } @else {
                        h2 { (say("quarter-chart")) }
                        (chart(report, &say("quarter-chart"), &named))
                        h2 { (say("quarter-table")) }
                        (table(report, &say, &named))
                    }
                    p { (say("quarter-privacy")) }
                }
            }
        }
    }
    .into_string()
}

/// A bar for each category and month.
fn chart(report: &Report, title: &str, named: &impl Fn(&str) -> String) -> Markup {
    let most = report.categories.iter().flat_map(|counts| counts.months).flatten().max().unwrap_or(1).max(1);
    let rows = report.categories.len() * 4;
    let bar = |at: usize, month: &str, count: Option<u64>| {
        let shown = told(count);
        let count = count.unwrap_or(0);
        let width = (count as f64 / most as f64 * BARS as f64).round() as usize;
        let y = at * ROW;
        html! {
            text x=(LABEL - 8) y=(y + 16) text-anchor="end" { (month) }
            rect.bar x=(LABEL) y=(y + 3) width=(width) height=(ROW - 6) rx="3" {}
            text x=(LABEL + width + 6) y=(y + 16) { (shown) }
        }
    };
    html! {
        svg viewBox={ "0 0 " (WIDTH) " " (rows * ROW) } role="img" aria-label=(title) {
            @for (at, counts) in report.categories.iter().enumerate() {
                text x="0" y=(at * 4 * ROW + 16) font-weight="600" { (named(&counts.category)) }
                @for (month, count) in report.months.iter().zip(counts.months).enumerate().map(|(m, it)| ((m, it.0), it.1)) {
                    (bar(at * 4 + 1 + month.0, month.1, count))
                }
            }
        }
    }
}

fn table(report: &Report, say: &impl Fn(&str) -> String, named: &impl Fn(&str) -> String) -> Markup {
    let row = |hotspot: &str, counts: &Counts| {
        html! {
            tr {
                td { (if hotspot == "no-policy" { say("quarter-no-policy") } else { hotspot.to_owned() }) }
                td { (named(&counts.category)) }
                @for count in counts.months { td { (told(count)) } }
                td { (counts.total) }
            }
        }
    };
    html! {
        div.wide tabindex="0" role="region" aria-label=(say("quarter-table")) {
            table {
                thead {
                    tr {
                        th scope="col" { (say("quarter-hotspot")) }
                        th scope="col" { (say("quarter-category")) }
                        @for month in &report.months { th scope="col" { (month) } }
                        th scope="col" { (say("quarter-total")) }
                    }
                }
                tbody {
                    @for hotspot in &report.hotspots {
                        @for counts in &hotspot.categories { (row(&hotspot.hotspot, counts)) }
                    }
                }
            }
        }
    }
}

/// A count, or a dash where there is none that may be told.
fn told(count: Option<u64>) -> String {
    count.map_or_else(|| "\u{2013}".to_owned(), |count| count.to_string())
}
