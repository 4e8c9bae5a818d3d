//! What `scripts/fuzz` calls. Compiled for fuzzing and for the test here.
#![allow(clippy::missing_panics_doc, reason = "a panic is a finding")]

use super::csv::{inert, records, revived, write};

/// A list of subscribers: what is read of it is read again as it is written.
pub fn csv(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(read) = records(text) else { return };
    assert!(read.is_sorted_by(|one, other| one.line < other.line), "two records at one line");
    // A head that says that commas divide fields.
    let mut text = write(["x", "y"]);
    for record in &read {
        text += &write(record.fields.iter().map(String::as_str));
        for field in &record.fields {
            assert_eq!(revived(&inert(field)), field, "a text does not survive a spreadsheet");
        }
    }
    let again = records(&text);
    let again = again.iter().flatten().skip(1).map(|record| &record.fields);
    assert!(again.eq(read.iter().map(|record| &record.fields)), "a list is not written as it was read");
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_are_read() {
        super::csv(b"subscriberId,subscriberName\r\nalice,\"A, \"\"x\"\"\"\r\n\r\nbob;\r\n");
        super::csv(b"a;b\n\"=1\";'=1\n");
        super::csv(b"\"");
    }
}
