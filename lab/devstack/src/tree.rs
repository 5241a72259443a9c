//! The process table: which processes belong to a server, and whether they still run.
//!
//! A server's children may be in groups and sessions of their own (PostgreSQL's backends, Erlang's
//! helpers), so signals to the group of the server do not reach them.

use std::collections::HashMap;

/// A process, told apart from a later one with the same id by its start time (where known).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id {
    pub(crate) pid: u32,
    started: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    id: Id,
    parent: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Stopped,
    /// A zombie: its parent has not reaped it yet.
    Ended,
}

/// Reads the letter that Linux and `ps` show.
fn state(letter: &str) -> State {
    match letter.chars().next() {
        Some('T') => State::Stopped,
        Some('Z' | 'X') => State::Ended,
        _ => State::Running,
    }
}

/// Whether a process with this id runs (a zombie does not).
#[cfg(test)]
pub(crate) fn is_alive(pid: u32) -> bool {
    entry(pid).is_some_and(|entry| entry.state != State::Ended)
}

/// Whether this very process runs.
pub(crate) fn runs(id: Id) -> bool {
    entry(id.pid).is_some_and(|entry| entry.id == id && entry.state != State::Ended)
}

/// Whether the process with this id does nothing any more: suspended or gone.
pub(crate) fn is_still(pid: u32) -> bool {
    entry(pid).is_none_or(|entry| entry.state != State::Running)
}

/// The process itself and all that descend from it.
pub(crate) fn tree(root: u32) -> Vec<Id> {
    let mut children: HashMap<u32, Vec<Entry>> = HashMap::new();
    let mut found = vec![];
    for entry in all() {
        if entry.id.pid == root {
            found.push(entry.id);
        }
        children.entry(entry.parent).or_default().push(entry);
    }
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let below = children.remove(&parent.pid).unwrap_or_default();
        found.extend(below.into_iter().filter(|entry| entry.state != State::Ended).map(|entry| entry.id));
        next += 1;
    }
    found
}

#[cfg(target_os = "linux")]
fn all() -> Vec<Entry> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return vec![];
    };
    entries.flatten().filter_map(|dir| entry(dir.file_name().to_str()?.parse().ok()?)).collect()
}

/// Reads `/proc/PID/stat`: after the name in parentheses come state, parent, ..., start time.
#[cfg(target_os = "linux")]
fn entry(pid: u32) -> Option<Entry> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let id = Id { pid, started: fields.get(19)?.parse().ok()? };
    Some(Entry { id, parent: fields.get(1)?.parse().ok()?, state: state(fields.first()?) })
}

#[cfg(not(target_os = "linux"))]
fn all() -> Vec<Entry> {
    let output = std::process::Command::new("ps").args(["-A", "-o", "pid=,ppid=,stat="]).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().filter_map(parse_ps).collect()
}

#[cfg(not(target_os = "linux"))]
fn entry(pid: u32) -> Option<Entry> {
    all().into_iter().find(|entry| entry.id.pid == pid)
}

#[cfg(not(target_os = "linux"))]
fn parse_ps(line: &str) -> Option<Entry> {
    let mut fields = line.split_whitespace();
    let id = Id { pid: fields.next()?.parse().ok()?, started: 0 };
    Some(Entry { id, parent: fields.next()?.parse().ok()?, state: state(fields.next()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_found_below_its_parent_and_gone_after_its_end() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let below = tree(std::process::id());
        let id = *below.iter().find(|id| id.pid == child.id()).unwrap();
        assert!(runs(id) && is_alive(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!runs(id));
    }
}
