//! Comma-separated values (RFC 4180), also with semicolons, as spreadsheets write
//! them where the comma is in numbers.

use std::borrow::Cow;

/// A record and the line that it begins at, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) line: usize,
    pub(super) fields: Vec<String>,
}

/// Text with an opening quote and no closing one, or with something behind the
/// closing one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadQuote {
    /// Where its record begins.
    pub(super) line: usize,
}

/// All records of a text, blank lines left out.
pub(super) fn records(text: &str) -> Result<Vec<Record>, BadQuote> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let head = text.lines().next().unwrap_or_default();
    let comma = if head.contains(';') && !head.contains(',') { ';' } else { ',' };
    let mut reader = Reader { rest: text, line: 1, comma };
    let mut records = Vec::new();
    while !reader.rest.is_empty() {
        let record = reader.record()?;
        if record.fields.iter().any(|field| !field.trim().is_empty()) {
            records.push(record);
        }
    }
    Ok(records)
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
    comma: char,
}

impl Reader<'_> {
    fn record(&mut self) -> Result<Record, BadQuote> {
        let line = self.line;
        let mut fields = Vec::new();
        loop {
            let quoted = self.rest.starts_with('"');
            fields.push(if quoted { self.quoted().ok_or(BadQuote { line })? } else { self.plain() });
            match self.rest.chars().next() {
                Some(c) if c == self.comma => self.rest = &self.rest[1..],
                Some('\n' | '\r') | None => break,
                Some(_) => return Err(BadQuote { line }),
            }
        }
        self.end_of_line();
        Ok(Record { line, fields })
    }

    fn plain(&mut self) -> String {
        let comma = self.comma;
        let end = self.rest.find([comma, '\n', '\r']).unwrap_or(self.rest.len());
        let (field, rest) = self.rest.split_at(end);
        self.rest = rest;
        field.to_owned()
    }

    /// A quote inside is written twice.
    fn quoted(&mut self) -> Option<String> {
        let mut field = String::new();
        let mut rest = &self.rest[1..];
        loop {
            let (part, after) = rest.split_once('"')?;
            field.push_str(part);
            match after.strip_prefix('"') {
                Some(after) => {
                    field.push('"');
                    rest = after;
                }
                None => {
                    self.line += field.matches('\n').count();
                    self.rest = after;
                    return Some(field);
                }
            }
        }
    }

    fn end_of_line(&mut self) {
        let rest = self.rest.strip_prefix('\r').unwrap_or(self.rest);
        self.rest = rest.strip_prefix('\n').unwrap_or(rest);
        self.line += 1;
    }
}

/// Writes a record.
pub(super) fn write<'a>(fields: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = fields.into_iter().map(quote).collect();
    quoted.join(",") + "\r\n"
}

fn quote(field: &str) -> String {
    if field.contains(['"', ',', ';', '\r', '\n']) || field.trim() != field {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// A text that a spreadsheet will not take for a formula: an apostrophe goes before
/// what would begin one (OWASP, CSV Injection).
pub(super) fn inert(text: &str) -> Cow<'_, str> {
    if begins_a_formula(text.trim_start_matches('\'')) { format!("'{text}").into() } else { text.into() }
}

/// What [`inert`] was given.
pub(super) fn revived(text: &str) -> &str {
    text.strip_prefix('\'').filter(|rest| begins_a_formula(rest.trim_start_matches('\''))).unwrap_or(text)
}

fn begins_a_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(text: &str) -> Vec<(usize, Vec<String>)> {
        records(text).unwrap().into_iter().map(|record| (record.line, record.fields)).collect()
    }

    fn line(number: usize, fields: &[&str]) -> (usize, Vec<String>) {
        (number, fields.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn lines_end_as_they_like_and_blank_ones_are_none() {
        let expected = vec![line(1, &["a", "b"]), line(4, &["c", ""])];
        assert_eq!(fields("a,b\n\n,\nc,\n"), expected);
        assert_eq!(fields("\u{feff}a,b\r\n\r\n,\r\nc,"), expected);
        assert_eq!(fields("a;b\n\n;\nc;"), expected);
        assert_eq!(fields(""), []);
    }

    #[test]
    fn quotes_hold_commas_quotes_and_lines() {
        assert_eq!(
            fields("\"a,b\",\"c\"\"d\"\ne,\"f\ng\"\nh"),
            [line(1, &["a,b", "c\"d"]), line(2, &["e", "f\ng"]), line(4, &["h"]),]
        );
        for bad in ["a\n\"b", "a\n\"b\"c,d", "a\n\"b\"\"\n"] {
            assert_eq!(records(bad), Err(BadQuote { line: 2 }), "{bad:?}");
        }
    }

    #[test]
    fn a_text_is_no_formula_and_comes_back_as_it_was() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "'=1", "''-1"] {
            assert_eq!(inert(formula), format!("'{formula}"));
        }
        for text in ["", "Ann", "'Ann", "a=b", "=1", "'=1", "''=1"] {
            assert_eq!(revived(&inert(text)), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(rows in prop::collection::vec(prop::collection::vec("[a-c,;\"\r\n ]{0,6}", 2..4), 1..5)) {
            let text: String = std::iter::once(write(["x", "y"]))
                .chain(rows.iter().map(|row| write(row.iter().map(String::as_str))))
                .collect();
            let read: Vec<_> = records(&text).unwrap().into_iter().skip(1).map(|record| record.fields).collect();
            let kept: Vec<_> = rows.into_iter().filter(|row| row.iter().any(|f| !f.trim().is_empty())).collect();
            prop_assert_eq!(read, kept);
        }

        #[test]
        fn nothing_that_is_sent_panics(text in "[a,;\"\r\n\u{feff}é]{0,40}") {
            let _ = records(&text);
        }
    }
}
