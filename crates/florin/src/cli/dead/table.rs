//! The list of dead letters.

use comfy_table::Table;
use florin_broker::dead_letter::DeadLetter;
use florin_service::cli::output;
use florin_wire::names::DEAD_LETTERS;
use jiff::Timestamp;
use serde::Serialize;

/// How much of a body is shown.
const BODY_CHARS: usize = 48;
/// How much of a name that a client chose is shown.
const NAME_CHARS: usize = 36;

/// The oldest dead letters, and how many there are.
#[derive(Debug, Serialize)]
pub(super) struct List {
    pub(super) messages: Vec<Row>,
    pub(super) total: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct Row {
    id: String,
    #[serde(skip)]
    died_seconds: Option<u64>,
    died_at: Option<String>,
    operation: String,
    message_id: Option<String>,
    error: String,
    reason: String,
    bytes: usize,
    body_start: String,
}

impl Row {
    pub(super) fn new(letter: &DeadLetter) -> Self {
        // A character has at most four bytes.
        let start = &letter.body[..letter.body.len().min(4 * BODY_CHARS)];
        let start = String::from_utf8_lossy(start);
        Self {
            id: letter.id.clone(),
            died_seconds: letter.died_at,
            died_at: letter.died_at.map(time),
            operation: letter.operation.to_string(),
            message_id: letter.message_id().map(str::to_owned),
            error: letter.error.clone(),
            reason: letter.reason.clone(),
            bytes: letter.body.len(),
            body_start: start.chars().take(BODY_CHARS).collect(),
        }
    }
}

/// Sorts by the time of death, and keeps the first. Those of one second stay in the order of the queue.
pub(super) fn keep_oldest(rows: &mut Vec<Row>, limit: usize) {
    rows.sort_by_key(|row| row.died_seconds);
    rows.truncate(limit);
}

pub(super) fn for_people(List { messages, total }: &List) -> String {
    let (rows, total) = (messages.as_slice(), *total);
    if rows.is_empty() {
        return format!("no messages in {DEAD_LETTERS}\n");
    }
    let mut text = format!("{}\n", table(rows));
    let mut errors: Vec<(&str, &str)> =
        rows.iter().map(|row| (row.error.as_str(), row.reason.as_str())).collect();
    errors.sort_unstable();
    errors.dedup_by_key(|(error, _)| *error);
    text.push('\n');
    for (error, reason) in errors {
        text.push_str(&format!("{}: {}\n", visible(error), visible(reason)));
    }
    if rows.len() < total as usize {
        text.push_str(&format!("\nthe oldest {} of {total}: --limit shows more\n", rows.len()));
    }
    text
}

/// One line per message.
pub(super) fn table(rows: &[Row]) -> Table {
    let header = ["#", "ID", "DIED AT", "OPERATION", "MESSAGE ID", "REASON", "BYTES", "BODY"];
    let mut table = output::table(&header, &[0, 6]);
    for (row, number) in rows.iter().zip(1..) {
        let number: u32 = number;
        table.add_row([
            number.to_string(),
            row.id.clone(),
            row.died_at.clone().unwrap_or_else(|| "-".to_owned()),
            shortened(&row.operation, NAME_CHARS),
            row.message_id.as_deref().map_or("-".to_owned(), |id| shortened(id, NAME_CHARS)),
            shortened(&row.error, NAME_CHARS),
            row.bytes.to_string(),
            body_start(row),
        ]);
    }
    table
}

/// The start of the body, on one line.
fn body_start(row: &Row) -> String {
    let dots = if row.body_start.len() < row.bytes { "…" } else { "" };
    format!("{}{dots}", visible(&row.body_start))
}

/// A time in seconds since 1970. Anybody can write this header, so some are beyond the calendar.
pub(super) fn time(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| format!("{seconds} s after 1970"), |time| time.to_string())
}

fn shortened(text: &str, chars: usize) -> String {
    let mut short: String = text.chars().take(chars).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    visible(&short)
}

/// Foreign text, without characters that move the cursor or reverse the direction of text.
pub(super) fn visible(text: &str) -> String {
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
    };
    text.chars()
        .flat_map(|c| {
            let escaped = is_hidden(c).then(|| c.escape_unicode());
            let plain = (!is_hidden(c)).then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}
