//! Prometheus's text format 0.0.4.

use std::fmt::{Display, Write};

/// What its values do.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// They only grow; the name ends in `_total`.
    Counter,
    /// They come and go.
    Gauge,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// Names and values of a sample's labels.
pub(super) type Labels<'a> = Vec<(&'a str, &'a str)>;

/// A page of metrics. Writing to a `String` cannot fail, so results are dropped.
#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    /// One metric with one value.
    pub(super) fn single(&mut self, kind: Kind, name: &str, help: &str, value: impl Display) {
        self.family(kind, name, help, [(Labels::new(), value)]);
    }

    /// One metric with a value for each set of labels.
    pub(super) fn family<'a, V: Display>(
        &mut self,
        kind: Kind,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, V)>,
    ) {
        self.head(kind.as_str(), name, help);
        for (labels, value) in samples {
            self.sample(name, &labels, value);
        }
    }

    /// Durations in classes: upper bounds in seconds, how many are in each class,
    /// one more class than bounds, and the sum in seconds.
    pub(super) fn histogram(&mut self, name: &str, help: &str, bounds: &[f64], classes: &[u64], sum: f64) {
        self.head("histogram", name, help);
        let bounds = bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        let mut so_far = 0;
        for (bound, count) in bounds.zip(classes) {
            so_far += count;
            self.sample(&format!("{name}_bucket"), &[("le", &bound)], so_far);
        }
        self.sample(&format!("{name}_sum"), &[], sum);
        self.sample(&format!("{name}_count"), &[], so_far);
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }

    fn head(&mut self, kind: &str, name: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if at == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let mut text = Text::default();
        text.single(Kind::Gauge, "a", "What a is.", 1.5);
        text.family(Kind::Counter, "b_total", "B.", [(vec![("x", "1\"2"), ("y", "z")], 7)]);
        text.histogram("c_seconds", "C.", &[0.5, 1.0], &[1, 0, 2], 9.25);
        let expected = "# HELP a What a is.\n# TYPE a gauge\na 1.5\n\
            # HELP b_total B.\n# TYPE b_total counter\nb_total{x=\"1\\\"2\",y=\"z\"} 7\n\
            # HELP c_seconds C.\n# TYPE c_seconds histogram\n\
            c_seconds_bucket{le=\"0.5\"} 1\nc_seconds_bucket{le=\"1\"} 1\nc_seconds_bucket{le=\"+Inf\"} 3\n\
            c_seconds_sum 9.25\nc_seconds_count 3\n";
        assert_eq!(text.into_string(), expected);
    }
}
