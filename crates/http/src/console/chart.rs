//! The balance over time, as a chart. Floats only become pixels: the table beside it has the exact digits.

use std::time::SystemTime;

use florin_wire::PostingBody;
use maud::{Markup, html};

use super::text;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 160.0;
/// Room for the line's own width.
const MARGIN: f64 = 4.0;

/// A step line of the actual balance; empty for fewer than two postings.
pub(super) fn balance(ticker: &str, newest_first: &[PostingBody]) -> Markup {
    let (Some(last), Some(first)) = (newest_first.first(), newest_first.last()) else { return html! {} };
    if newest_first.len() < 2 {
        return html! {};
    }
    let values: Vec<f64> =
        newest_first.iter().rev().map(|posting| pixels(&posting.actual_balance.0)).collect();
    let highest = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let start = first.created_at.0;
    let span_secs = secs(start, last.created_at.0).max(0.001);
    let x = |time| MARGIN + (WIDTH - 2.0 * MARGIN) * secs(start, time) / span_secs;
    let y = |value: f64| HEIGHT - MARGIN - (HEIGHT - 2.0 * MARGIN) * value / highest;
    let mut line = String::new();
    for (posting, value) in newest_first.iter().rev().zip(&values) {
        let (x, y) = (x(posting.created_at.0), y(*value));
        line.push_str(&match line.is_empty() {
            true => format!("M{x:.1} {y:.1}"),
            false => format!("H{x:.1}V{y:.1}"),
        });
    }
    let area = format!("{line}V{HEIGHT}H{MARGIN}Z");
    let label = format!(
        "The actual balance in {ticker} over the last {} postings: from {} to {}",
        newest_first.len(),
        first.actual_balance.0,
        last.actual_balance.0
    );
    html! {
        figure.chart {
            figcaption { "Actual balance, " (ticker) span.quiet { "the last " (newest_first.len()) " postings" } }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(label) {
                path.area d=(area) {}
                path.line d=(line) {}
            }
            div.axis { span { (text::time(start)) } span { "highest " (highest_balance(newest_first)) } span { (text::time(last.created_at.0)) } }
        }
    }
}

fn highest_balance(postings: &[PostingBody]) -> String {
    let balances = postings.iter().map(|posting| posting.actual_balance.0);
    let highest = balances.max_by(|one, other| pixels(one).total_cmp(&pixels(other)));
    highest.map_or_else(String::new, |highest| highest.to_string())
}

fn pixels(balance: &florin_ledger::Decimal) -> f64 {
    balance.to_string().parse().unwrap_or_default()
}

fn secs(from: SystemTime, to: SystemTime) -> f64 {
    to.duration_since(from).unwrap_or_default().as_secs_f64()
}
