//! The metrics as a page of the reference, made from the registry.

use std::fmt::Write;

use super::Metrics;

/// All metrics in Markdown.
#[must_use]
pub fn metrics_reference() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         `GET /metrics` has them in the text format of Prometheus, without an API key.\n\n\
         | Metric | Type | Labels | Meaning |\n|---|---|---|---|\n",
    );
    for family in Metrics::new().registry.gather() {
        let labels =
            family.get_metric().first().map(prometheus::proto::Metric::get_label).unwrap_or_default();
        let labels: Vec<String> = labels.iter().map(|label| format!("`{}`", label.name())).collect();
        let kind = format!("{:?}", family.get_field_type()).to_lowercase();
        let (name, help) = (family.name(), family.help());
        let _ = writeln!(page, "| `{name}` | {kind} | {} | {help} |", labels.join(", "));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_types_are_named() {
        let page = metrics_reference();
        let line = "| `florin_request_duration_seconds` | histogram | `operation`, `transport` | Seconds ";
        assert!(page.lines().any(|have| have.starts_with(line)), "{page}");
    }
}
