//! What a person sees: lines of at most 80 columns, colours only on a terminal, and questions only where somebody can
//! answer them.

use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal, Write};

/// Columns of the narrowest terminal that people work on.
pub const WIDTH: usize = 80;

/// How a word stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// As everything else.
    Plain,
    /// What a line is about.
    Strong,
    /// What matters less.
    Faint,
    /// As it should be.
    Good,
    /// Somebody has to act.
    Warn,
    /// Refused, or off the list.
    Bad,
}

/// A text in a look, where standard output is a terminal that shows colours.
pub fn paint(text: &str, look: Look) -> String {
    let code = match look {
        Look::Plain => return text.to_owned(),
        Look::Strong => "1",
        Look::Faint => "2",
        Look::Good => "32",
        Look::Warn => "33",
        Look::Bad => "31",
    };
    // https://no-color.org
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if !io::stdout().is_terminal() || dumb || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        return text.to_owned();
    }
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// One cell of a table.
pub struct Cell(pub String, pub Look);

/// A cell as everything else.
pub fn cell(text: impl Into<String>) -> Cell {
    Cell(text.into(), Look::Plain)
}

/// A cell that stands out.
pub fn marked(text: impl Into<String>, look: Look) -> Cell {
    Cell(text.into(), look)
}

/// Rows under a head, columns two blanks apart. What does not fit into [`WIDTH`] is cut in the widest column but the
/// first, which says what a row is about.
pub fn table(head: &[&str], rows: &[Vec<Cell>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|title| width(title)).collect();
    for row in rows {
        for (at, Cell(text, _)) in row.iter().enumerate() {
            widths[at] = widths[at].max(width(text));
        }
    }
    let gaps = 2 * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > WIDTH {
        let widest = (1..widths.len()).max_by_key(|at| widths[*at]).filter(|at| widths[*at] > 8).unwrap_or(0);
        if widths[widest] <= 8 {
            break;
        }
        widths[widest] -= 1;
    }
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = (String, Look)>| {
        let mut text = String::new();
        for (at, (cell, look)) in cells.enumerate() {
            if at > 0 {
                text.push_str("  ");
            }
            let cell = cut(&cell, widths[at]);
            let blanks = if at + 1 < widths.len() { widths[at] - width(&cell) } else { 0 };
            let _ = write!(text, "{}{:blanks$}", paint(&cell, look), "");
        }
        let _ = writeln!(out, "{}", text.trim_end());
    };
    line(&mut head.iter().map(|title| (title.to_string(), Look::Faint)));
    for row in rows {
        line(&mut row.iter().map(|Cell(text, look)| (text.clone(), *look)));
    }
    out
}

/// Columns that a text takes. The letters of our two languages take one each.
pub fn width(text: &str) -> usize {
    text.chars().count()
}

fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(columns.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// A text in lines that fit, each after so many blanks. Broken between words; a word that is longer than a line, as a
/// name can be, is broken where the line ends.
pub fn wrap(text: &str, indent: usize) -> String {
    let room = WIDTH.saturating_sub(indent).max(8);
    let mut out = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && width(&line) + 1 + width(word) > room {
            let _ = writeln!(out, "{:indent$}{line}", "");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for letter in word.chars() {
            if width(&line) == room {
                let _ = writeln!(out, "{:indent$}{line}", "");
                line.clear();
            }
            line.push(letter);
        }
    }
    if !line.is_empty() {
        let _ = writeln!(out, "{:indent$}{line}", "");
    }
    out
}

/// A title over a rule, with something at its right end.
pub fn title(left: &str, right: &str, look: Look) -> String {
    let blanks = WIDTH.saturating_sub(width(left) + width(right)).max(2);
    let rule = paint(&"─".repeat(WIDTH), Look::Faint);
    format!("{}{:blanks$}{}\n{rule}\n", paint(left, Look::Strong), "", paint(right, look))
}

/// A line of a card: what it is, and what it says; further lines under the first.
pub fn field(name: &str, value: &str) -> String {
    const NAME: usize = 16;
    let text = wrap(value, NAME + 2);
    let rest = text.get(NAME + 2..).unwrap_or("\n");
    format!("  {}{rest}", paint(&format!("{name:NAME$}"), Look::Faint))
}

/// A number of things: `1 entry`, `2 entries`.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Whether somebody sits there who can answer.
pub fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a yes. Anything else is a no.
pub fn confirm(question: &str) -> io::Result<bool> {
    let answer = ask(&format!("{question} [y/N]"))?;
    Ok(matches!(answer.to_lowercase().as_str(), "y" | "yes" | "po"))
}

/// Asks for a line. Questions go to standard error, so that standard output holds the result alone.
pub fn ask(question: &str) -> io::Result<String> {
    let mut out = io::stderr().lock();
    write!(out, "{question} ")?;
    out.flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fits_and_says_what_was_cut() {
        let rows = [
            vec![cell("isigurt/2027-0042"), marked("approved", Look::Warn), cell("the second approval ".repeat(6))],
            vec![cell("iwf/1"), cell("listed"), cell("")],
        ];
        let table = table(&["CASE", "STATE", "WAITS FOR"], &rows);
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines.iter().all(|line| width(line) <= WIDTH), "{table}");
        assert_eq!(lines[0], "CASE               STATE     WAITS FOR");
        assert!(lines[1].starts_with("isigurt/2027-0042  approved  the second approval") && lines[1].ends_with('…'));
        assert_eq!(lines[2], "iwf/1              listed");
    }

    #[test]
    fn a_long_text_is_broken_between_words() {
        let text = wrap(&"ëndërr ".repeat(30), 6);
        assert!(text.lines().all(|line| line.starts_with("      ëndërr") && width(line) <= WIDTH), "{text}");
        assert_eq!(wrap("", 4), "");
        let name = format!("see {}.test", "a".repeat(150));
        assert!(wrap(&name, 10).lines().all(|line| width(line) <= WIDTH));
        assert_eq!(wrap(&name, 10).replace(['\n', ' '], ""), name.replace(' ', ""));
        let field = field("legal ground", &"word ".repeat(30));
        assert!(field.starts_with("  legal ground    word word") && field.lines().count() == 3, "{field}");
        assert!(field.lines().skip(1).all(|line| line.starts_with("                  word")), "{field}");
    }
}
