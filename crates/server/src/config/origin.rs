//! Where a setting was said, so that an error can name it.

use std::fmt;
use std::path::{Path, PathBuf};

use super::PREFIX;

/// The file and the variables that a configuration came from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    path: PathBuf,
    text: String,
    variables: Vec<String>,
}

/// Something wrong with a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// With its section: `rtmp.listen`.
    pub(crate) key: &'static str,
    pub(crate) text: String,
}

impl Problem {
    pub(crate) fn new(key: &'static str, text: impl fmt::Display) -> Self {
        Self { key, text: text.to_string() }
    }
}

impl Origin {
    pub(super) fn new(path: &Path, text: &str, variables: Vec<String>) -> Self {
        Self { path: path.to_path_buf(), text: text.to_owned(), variables }
    }

    /// `file:line: key: text`, or the variable instead of file and line.
    pub(crate) fn tell(&self, problem: &Problem) -> String {
        format!("{}: {}: {}", self.place(problem.key), problem.key, problem.text)
    }

    fn place(&self, key: &str) -> String {
        let variable = format!("{PREFIX}{}", key.replace('.', "__").to_uppercase());
        if self.variables.contains(&variable) {
            return variable;
        }
        let path = self.path.display();
        // What is not in the file has its default, and may be wrong beside what is.
        let line = keys(&self.text).find(|(_, known)| known == key).map(|(line, _)| line);
        line.map_or_else(|| path.to_string(), |line| format!("{path}:{line}"))
    }

    /// The same of what TOML says.
    pub(super) fn malformed(&self, error: &toml::de::Error) -> String {
        let path = self.path.display();
        let Some(span) = error.span() else { return format!("{path}: {}", error.message()) };
        let line = self.text[..span.start.min(self.text.len())].lines().count().max(1);
        // An error at a line's first byte counts the line before.
        let line = line + usize::from(self.text[..span.start.min(self.text.len())].ends_with('\n'));
        let key = keys(&self.text).take_while(|(at, _)| *at <= line).last();
        match key {
            Some((_, key)) => format!("{path}:{line}: {key}: {}", error.message()),
            None => format!("{path}:{line}: {}", error.message()),
        }
    }
}

/// Lines that give a value, and what it is of.
fn keys(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut section = String::new();
    text.lines().enumerate().filter_map(move |(at, line)| {
        let line = line.trim();
        // A comment may come after it.
        if let Some((name, _)) = line.strip_prefix('[').and_then(|line| line.split_once(']')) {
            section = format!("{}.", name.trim());
            return None;
        }
        let key = line.split_once('=')?.0.trim();
        (!key.starts_with('#')).then(|| (at + 1, format!("{section}{key}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_its_line_or_its_variable() {
        let text = "a = 1\n# b = 2\n[http]\nlisten = 'x'\n\n[ rtmp ] # [its]\nlisten = 'y' # z = 1\n";
        let origin = Origin::new(Path::new("f"), text, vec!["SLUICE__HTTP__LISTEN".to_owned()]);
        let tell = |key| origin.tell(&Problem::new(key, "no"));
        assert_eq!(tell("a"), "f:1: a: no");
        assert_eq!(tell("rtmp.listen"), "f:7: rtmp.listen: no");
        assert_eq!(tell("http.listen"), "SLUICE__HTTP__LISTEN: http.listen: no");
        assert_eq!(tell("b"), "f: b: no");
    }
}
