//! `friendly-resolver report`: how often each hotspot blocked in a quarter, as
//! JSON, CSV or a page, without a name of a site or a trace of a person.

mod html;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use crate::hits::{self, LEAST};
use crate::origin::Origin;
use crate::scheme::Scheme;

/// Counts are rounded down to a multiple of this.
const STEP: u64 = 10;

/// Three months.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quarter {
    year: u16,
    /// 1 to 4.
    number: u8,
}

impl std::str::FromStr for Quarter {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (year, number) = text.split_once("-Q")?;
            let (year, number) = (year.parse().ok()?, number.parse().ok()?);
            ((2000..3000).contains(&year) && (1..=4).contains(&number)).then_some(Quarter { year, number })
        };
        read().ok_or_else(|| "a quarter is written as in 2026-Q4".to_owned())
    }
}

impl std::fmt::Display for Quarter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-Q{}", self.year, self.number)
    }
}

impl Quarter {
    /// `2026-10`, and the two after it.
    fn months(self) -> [String; 3] {
        [2, 1, 0].map(|back| format!("{}-{:02}", self.year, 3 * self.number - back))
    }
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For programs
    Json,
    /// For spreadsheets
    Csv,
    /// A page with charts, for people
    Html,
}

/// The report of one resolver.
#[derive(Debug, Serialize)]
pub struct Report {
    version: u32,
    scheme: String,
    organisation: String,
    quarter: String,
    months: [String; 3],
    /// Whether the quarter is over.
    complete: bool,
    /// Smaller counts are left out.
    least: u64,
    /// Counts are rounded down to a multiple of it.
    step: u64,
    /// Rounded sums over all hotspots.
    categories: Vec<Counts>,
    hotspots: Vec<Hotspot>,
}

#[derive(Debug, Serialize)]
struct Hotspot {
    hotspot: String,
    categories: Vec<Counts>,
}

/// How often something of a category was blocked.
#[derive(Debug, Serialize)]
struct Counts {
    category: String,
    /// Nothing where there is nothing that may be told.
    months: [Option<u64>; 3],
    total: u64,
}

/// Prints the report of a quarter to standard output.
///
/// # Errors
/// One sentence.
pub fn run(origin: &Origin, quarter: Quarter, format: Format, language: Option<&str>) -> Result<(), String> {
    let config = origin.config().map_err(|error| error.to_string())?;
    let scheme = Scheme::load(config.scheme.as_deref())?;
    let Some(directory) = &config.report else {
        return Err("nothing is kept for a report: name a 'directory' in [report] of the configuration".into());
    };
    let language = match language {
        None => &scheme.languages[0],
        Some(code) => scheme.of_code(code).ok_or_else(|| {
            let known: Vec<_> = scheme.languages.iter().map(|language| &*language.code).collect();
            format!("the scheme has no language '{code}'; it has {}", known.join(", "))
        })?,
    };
    let report = Report::of(directory, quarter, &scheme)?;
    match format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&report).expect("plain data")),
        Format::Csv => print!("{}", report.csv()),
        Format::Html => print!("{}", html::page(&report, &scheme, language)),
    }
    Ok(())
}

impl Report {
    /// Adds up what the files of the quarter hold.
    fn of(directory: &Path, quarter: Quarter, scheme: &Scheme) -> Result<Self, String> {
        let months = quarter.months();
        let failed = |error| format!("{}: {error}; see [report] directory", directory.display());
        std::fs::metadata(directory).map_err(failed)?;
        let mut cells: BTreeMap<(String, String), [u64; 3]> = BTreeMap::new();
        for (at, month) in months.iter().enumerate() {
            for line in hits::read(directory, month).map_err(failed)? {
                cells.entry((line.hotspot, line.category)).or_default()[at] += line.count;
            }
        }
        let mut sums: BTreeMap<String, [u64; 3]> = BTreeMap::new();
        let mut hotspots: BTreeMap<String, Vec<Counts>> = BTreeMap::new();
        for ((hotspot, category), months) in cells {
            let sum = sums.entry(category.clone()).or_default();
            sum.iter_mut().zip(months).for_each(|(sum, month)| *sum += month);
            hotspots.entry(hotspot).or_default().push(Counts::new(category, months));
        }
        Ok(Report {
            version: 1,
            scheme: scheme.id.clone(),
            organisation: scheme.organisation.clone(),
            quarter: quarter.to_string(),
            complete: Timestamp::now().strftime("%Y-%m").to_string() > months[2],
            months,
            least: LEAST,
            step: STEP,
            categories: sums.into_iter().map(|(category, months)| Counts::new(category, months)).collect(),
            hotspots: hotspots.into_iter().map(|(hotspot, categories)| Hotspot { hotspot, categories }).collect(),
        })
    }

    /// A line for each hotspot, category and month (RFC 4180).
    fn csv(&self) -> String {
        let mut text = "hotspot,category,month,blocked\r\n".to_owned();
        for hotspot in &self.hotspots {
            for counts in &hotspot.categories {
                for (month, count) in self.months.iter().zip(counts.months) {
                    // Names are of a-z, 0-9 and '-', so nothing has to be quoted.
                    let count = count.map(|count| count.to_string()).unwrap_or_default();
                    let _ = write!(text, "{},{},{month},{count}\r\n", hotspot.hotspot, counts.category);
                }
            }
        }
        text
    }
}

impl Counts {
    fn new(category: String, months: [u64; 3]) -> Self {
        let rounded = |count: u64| count / STEP * STEP;
        let months_told = months.map(|count| (count > 0).then(|| rounded(count)));
        Counts { category, months: months_told, total: rounded(months.iter().sum()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hits::{Line, write};

    #[test]
    fn a_quarter_is_written_in_one_way_and_has_three_months() {
        let months = |text: &str| text.parse::<Quarter>().map(Quarter::months);
        assert_eq!(months("2026-Q1").unwrap(), ["2026-01", "2026-02", "2026-03"]);
        assert_eq!(months("2026-Q4").unwrap(), ["2026-10", "2026-11", "2026-12"]);
        for wrong in ["", "2026", "2026-Q0", "2026-Q5", "2026Q1", "26-Q1", "2026-q1"] {
            assert!(months(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_report_adds_up_rounds_down_and_escapes() {
        let directory = std::env::temp_dir().join(format!("friendly-report-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&directory));
        std::fs::create_dir_all(&directory).unwrap();
        let line = |when: &str, hotspot: &str, category: &str, count| Line {
            when: when.into(),
            hotspot: hotspot.into(),
            category: category.into(),
            count,
        };
        write(
            &directory,
            &[
                line("2026-10-01T09", "library", "adult", 34),
                line("2026-10-02T09", "library", "adult", 15),
                line("2026-12-31", "school", "adult", 19),
                line("2026-12-31", "school", "csam", 12),
                line("2026-09-30", "school", "csam", 99),
            ],
        )
        .unwrap();
        let scheme = Scheme::shipped();
        let report = Report::of(&directory, "2026-Q4".parse().unwrap(), &scheme).unwrap();
        assert_eq!(
            report.csv(),
            "hotspot,category,month,blocked\r\nlibrary,adult,2026-10,40\r\nlibrary,adult,2026-11,\r\n\
             library,adult,2026-12,\r\nschool,adult,2026-10,\r\nschool,adult,2026-11,\r\n\
             school,adult,2026-12,10\r\nschool,csam,2026-10,\r\nschool,csam,2026-11,\r\nschool,csam,2026-12,10\r\n"
        );
        let adult = &report.categories[0];
        assert_eq!((&*adult.category, adult.months, adult.total), ("adult", [Some(40), None, Some(10)], 60));
        for language in &scheme.languages {
            let page = html::page(&report, &scheme, language);
            assert!(page.contains(&format!("<html lang=\"{}\">", language.code)) && page.contains("<svg"), "{page}");
            assert!(!page.contains("<script") && !page.contains("$"), "{page}");
        }
        assert!(
            html::page(&report, &scheme, &scheme.languages[0]).contains("vetëm për të rritur"),
            "names from the profile"
        );
        let lost = Report::of(&directory.join("nowhere"), "2026-Q4".parse().unwrap(), &scheme).unwrap_err();
        assert!(lost.contains("nowhere") && lost.contains("[report]"), "{lost}");
        let none = Report::of(&directory, "2020-Q1".parse().unwrap(), &scheme).unwrap();
        assert!(html::page(&none, &scheme, &scheme.languages[1]).contains("no numbers to show"));
    }
}
