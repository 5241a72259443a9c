//! The first page: health, rates, queues. Without JavaScript it shows the state when it was opened.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::assets::LIVE_PATH;
use super::layout::{Section, Tone, badge, notice, page};
use super::text;
use crate::App;
use crate::auth::Caller;
use crate::database::DatabaseRequest;
use crate::health::Readiness;

/// `GET /console`. It has to work without the database, too.
pub(super) async fn overview(State(app): State<App>, Extension(caller): Extension<Caller>) -> Response {
    let readiness = Readiness::of(&app).await;
    let sees_all = caller.needs_all_wallets().is_ok();
    let pending = match readiness.database && sees_all {
        true => app.database.call(DatabaseRequest::PendingSummary, ()).await.ok(),
        false => None,
    };
    let count = pending.map(|pending| pending.count.to_string());
    let oldest = pending.and_then(|pending| pending.oldest).map(text::age);
    let content = html! {
        div.title { h1 { "Overview" } p #stream.quiet role="status" { "When this page was opened" } }
        ul.health aria-label="Health" aria-live="polite" {
            li #broker { span { "Broker" } (reached(readiness.broker)) }
            li #database { span { "Database" } (reached(readiness.database)) }
            li #instance { span { "This instance" } (ready(&readiness, sees_all)) }
        }
        @for reason in &readiness.reasons { (notice(Tone::Bad, "Not ready", &html! { (reason.reason) })) }
        @if sees_all { (numbers(count.as_deref(), oldest.as_deref())) }
        @else { p.quiet { "Numbers are of all wallets, and your key covers some only." } }
    };
    page(&caller, Section::Overview, "Overview", &content)
}

/// `live.js` knows more than that.
fn ready(readiness: &Readiness, is_live: bool) -> Markup {
    match readiness.reasons.as_slice() {
        _ if is_live => html! { span.badge { "…" } },
        [] => badge(Tone::Good, "ready"),
        _ => badge(Tone::Bad, "not ready"),
    }
}

fn numbers(pending: Option<&str>, oldest: Option<&str>) -> Markup {
    html! {
        dl.cards {
            (card("rate", "Answers per second", None))
            (card("p50", "Median latency (p50)", None))
            (card("p99", "p99 latency", None))
            (card("waiting", "Requests in the queue", None))
            (card("consumers", "Connected instances", None))
            (card("pending", "Pending transactions", pending))
            (card("oldest", "Oldest pending", oldest))
            (card("dead", "Dead letters", None))
        }
        div.charts {
            (chart("rate-chart", "Answers per second", &[("a", "through the broker"), ("b", "over HTTP")]))
            (chart("latency-chart", "Latency in milliseconds", &[("a", "p50"), ("b", "p99")]))
            (chart("codes-chart", "Answers per second, by code", &[("good", "2xx"), ("bad", "4xx and 5xx")]))
        }
        noscript { p.quiet { "The charts need JavaScript; " a href="/metrics" { "/metrics" } " has the numbers." } }
        script src=(*LIVE_PATH) defer {}
    }
}

fn reached(reached: bool) -> Markup {
    if reached { badge(Tone::Good, "reached") } else { badge(Tone::Bad, "unreachable") }
}

fn card(id: &str, name: &str, value: Option<&str>) -> Markup {
    html! { div.card { dt { (name) } dd.big id=(id) { (value.unwrap_or("–")) } } }
}

/// Filled by `live.js`.
fn chart(id: &str, name: &str, lines: &[(&str, &str)]) -> Markup {
    html! {
        figure.chart id=(id) {
            figcaption {
                (name)
                span.legend { @for (class, line) in lines { span class=(format!("key {class}")) { (line) } } }
            }
            svg viewBox="0 0 720 160" preserveAspectRatio="none" role="img" aria-label=(format!("{name}: no values yet")) {
                @for (class, _) in lines { path class=(format!("line {class}")) {} }
            }
            div.axis { span { "two minutes ago" } span.peak {} span { "now" } }
        }
    }
}
