//! Dead letters: listed, shown, requeued, dropped.
//!
//! The same as `florin dead`, by the same functions. Letters that are being read are held by their reader, so
//! only one reader works at a time; whatever happens, letters that were not removed go back to the queue.

use std::time::{Duration, SystemTime};

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use florin_wire::names::DEAD_LETTERS;
use maud::{Markup, html};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::layout::{Failure, Section, Tone, empty, notice, page, table};
use super::session::Fields;
use super::text;
use crate::App;
use crate::auth::Caller;
use crate::problem::{Fault, Problem};
use florin_broker::dead_letter::{DeadLetter, DeadLetters, Error, Purpose, Requeue};

/// From the front of the queue.
const READ: usize = 1000;
const TIMEOUT: Duration = Duration::from_secs(20);
const SHOWN_BYTES: usize = 16 * 1024;

/// Two readers at a time would see different messages.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

#[derive(Debug, Deserialize)]
pub(super) struct Confirm {
    ask: Option<Action>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Decision {
    action: Action,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Requeue,
    RequeueWithoutReply,
    Drop,
}

struct Row {
    id: String,
    died_at: Option<u64>,
    operation: String,
    message_id: Option<String>,
    error: String,
    reason: String,
    bytes: usize,
}

impl Row {
    fn new(letter: &DeadLetter) -> Self {
        Self {
            id: letter.id.clone(),
            died_at: letter.died_at,
            operation: letter.operation.to_string(),
            message_id: letter.message_id().map(str::to_owned),
            error: letter.error.clone(),
            reason: letter.reason.clone(),
            bytes: letter.body.len(),
        }
    }
}

/// `GET /console/dead`.
pub(super) async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Failure> {
    caller.needs_all_wallets()?;
    let reading = async {
        let mut queue = DeadLetters::open(&app.amqp_url, Purpose::Look).await?;
        let total = queue.left();
        let mut rows = Vec::new();
        while rows.len() < READ {
            let Some(letter) = queue.next().await? else { break };
            rows.push(Row::new(&letter));
        }
        queue.close().await?;
        Ok((rows, total))
    };
    let (mut rows, total) = alone(reading).await?;
    rows.sort_by_key(|row| row.died_at);
    let content = html! {
        h1 { "Dead letters" }
        p.lead { "Requests that could not be executed, the oldest first. They stay here until you requeue or drop them." }
        @if rows.is_empty() {
            (empty("No dead letters", "Every request could be executed."))
        } @else {
            (rows_table(&rows))
            @if rows.len() < usize::try_from(total).unwrap_or(usize::MAX) {
                p.quiet { "The first " (rows.len()) " of " (total) ": " code { "florin dead list" } " shows more." }
            }
        }
    };
    Ok(page(&caller, Section::Dead, "Dead letters", &content))
}

fn rows_table(rows: &[Row]) -> Markup {
    let head = [
        ("Id", false),
        ("Died", false),
        ("Operation", false),
        ("Message id", false),
        ("Why", false),
        ("Bytes", true),
    ];
    let rows = html! { @for row in rows { tr {
        td { a.id href=(format!("/console/dead/{}", row.id)) { (row.id) } }
        td { (died(row.died_at)) }
        td { (row.operation) }
        td { @match &row.message_id { Some(id) => span.id { (id) }, None => span.quiet { "none" } } }
        td.long { strong { (row.error) } ": " (row.reason) }
        td.number { (row.bytes) }
    } } };
    table("Dead letters", &head, &rows)
}

/// The header is the client's to forge: any number of seconds may be there.
fn died(seconds: Option<u64>) -> Markup {
    let time = |seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    match seconds.and_then(time) {
        Some(at) => text::time(at),
        None => html! { span.quiet { "unknown" } },
    }
}

/// `GET /console/dead/{id}`.
pub(super) async fn letter(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Query(Confirm { ask }): Query<Confirm>,
) -> Result<Response, Failure> {
    caller.needs_all_wallets()?;
    let reading = async {
        let mut queue = DeadLetters::open(&app.amqp_url, Purpose::Look).await?;
        let found = find(&mut queue, &id).await?;
        queue.close().await?;
        Ok(found)
    };
    let Some(letter) = alone(reading).await? else { return Err(missing(&id)) };
    let here = format!("/console/dead/{}", letter.id);
    let content = html! {
        p.crumb { a href="/console/dead" { "Dead letters" } }
        h1 { "Dead letter " span.id { (letter.id) } }
        @match ask {
            Some(action) => (question(&here, action)),
            None => div.actions {
                a.button href=(format!("{here}?ask=requeue")) { "Requeue…" }
                @if letter.properties.reply_to().is_some() {
                    a.button.plain href=(format!("{here}?ask=requeue_without_reply")) { "Requeue without reply…" }
                }
                a.button.plain href=(format!("{here}?ask=drop")) { "Drop…" }
            },
        }
        (fields(&letter))
    };
    Ok(page(&caller, Section::Dead, "Dead letter", &content))
}

fn question(here: &str, action: Action) -> Markup {
    let (name, value, text) = match action {
        Action::Requeue => (
            "Requeue",
            "requeue",
            "The request goes back to the work queue. If it was applied already, it is not applied again.",
        ),
        Action::RequeueWithoutReply => (
            "Requeue",
            "requeue_without_reply",
            "The request goes back to the work queue without its reply address: it is executed, and nobody is answered.",
        ),
        Action::Drop => ("Drop", "drop", "The message is removed for good."),
    };
    html! {
        form.notice.waits method="post" action=(here) {
            strong { (name) " this message?" }
            p { (text) }
            input type="hidden" name="action" value=(value);
            div.actions { button { (name) } a.button.plain href=(here) { "Back" } }
        }
    }
}

fn fields(letter: &DeadLetter) -> Markup {
    let properties = &letter.properties;
    let texts = [
        ("Reply to", properties.reply_to()),
        ("Correlation id", properties.correlation_id()),
        ("User", properties.user_id()),
        ("Type", properties.kind()),
        ("Content type", properties.content_type()),
    ];
    let shown = &letter.body[..letter.body.len().min(SHOWN_BYTES)];
    html! {
        dl.fields {
            dt { "Why" } dd { strong { (letter.error) } ": " (letter.reason) }
            dt { "Died" } dd { (died(letter.died_at)) }
            dt { "Operation" } dd { (letter.operation) }
            dt { "Message id" } dd { (letter.message_id().unwrap_or("none")) }
            dt { "Exchange" } dd { @if letter.exchange.is_empty() { "the default exchange" } @else { (letter.exchange) } }
            dt { "Routing key" } dd { (letter.routing_key) }
            @for (name, text) in texts { @if let Some(text) = text { dt { (name) } dd { (text) } } }
            @for death in letter.deaths() {
                dt { "Moved by the broker" }
                dd { (death.reason) ", from the queue " (death.queue) ", " (death.count) " times: " (death.in_words()) }
            }
        }
        h2 { "Body" }
        p.quiet { (letter.body.len()) " bytes" @if letter.body.len() > SHOWN_BYTES { ", of which the first are shown" } }
        pre tabindex="0" { (String::from_utf8_lossy(shown)) }
    }
}

/// `POST /console/dead/{id}`.
pub(super) async fn decide(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Fields(Decision { action }): Fields<Decision>,
) -> Result<Response, Failure> {
    caller.needs_all_wallets()?;
    let deciding = async {
        let mut queue = DeadLetters::open(&app.amqp_url, Purpose::Look).await?;
        let found = find(&mut queue, &id).await?;
        if let Some(letter) = &found {
            if action != Action::Drop {
                let with_reply = action == Action::Requeue;
                Requeue::open(&app.amqp_url, &app.work_queue).await?.send(letter, with_reply).await?;
            }
            queue.remove(letter);
        }
        queue.close().await?;
        Ok(found.is_some())
    };
    let notice = match (alone(deciding).await?, action) {
        (false, _) => return Err(missing(&id)),
        (true, Action::Requeue | Action::RequeueWithoutReply) => notice(
            Tone::Good,
            "Requeued",
            &html! { "The message " span.id { (id) } " is in the work queue again." },
        ),
        (true, Action::Drop) => {
            notice(Tone::Good, "Dropped", &html! { "The message " span.id { (id) } " is gone for good." })
        }
    };
    // No list here: the broker may not have put the other letters back yet.
    let content = html! {
        h1 { "Dead letters" }
        (notice)
        p { a.button href="/console/dead" { "Back to the list" } }
    };
    Ok(page(&caller, Section::Dead, "Dead letters", &content))
}

async fn find(queue: &mut DeadLetters, id: &str) -> Result<Option<DeadLetter>, Error> {
    for _ in 0..READ {
        match queue.next().await? {
            Some(letter) if letter.id == id => return Ok(Some(letter)),
            Some(_) => {}
            None => break,
        }
    }
    Ok(None)
}

fn missing(id: &str) -> Failure {
    let reason = format!(
        "no dead letter {id} among the first {READ}: it was requeued or dropped, or another reader holds it"
    );
    Problem::new(Fault::NotFound, reason).into()
}

async fn alone<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    let unavailable = |reason: String| Problem::new(Fault::Unavailable, reason);
    let work = async {
        let _turn = ONE_AT_A_TIME.lock().await;
        work.await
    };
    match timeout(TIMEOUT, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => {
            tracing::warn!(%error, "dead letters not available in the console");
            Err(unavailable(format!("the queue {DEAD_LETTERS} is unavailable: {error}")).into())
        }
        Err(_) => Err(unavailable(format!(
            "the queue {DEAD_LETTERS} gave no answer within {} s",
            TIMEOUT.as_secs()
        ))
        .into()),
    }
}
