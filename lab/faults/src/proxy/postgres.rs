//! What a client of PostgreSQL and the server say to each other: which message commits, and where its answer
//! ends.
//!
//! A commit is a simple query COMMIT; or the Sync behind an Execute of a statement that inserts, or a simple
//! query that does, when no transaction is open: such a statement is a transaction by itself.

use std::collections::HashMap;

use super::frames::{Frame, Frames, Layout, number};

/// The first messages of a client have no type byte.
const UNNAMED: Layout = Layout { header_bytes: 4, following: |header| number(header).saturating_sub(4) };
const NAMED: Layout = Layout { header_bytes: 5, following: |header| number(&header[1..]).saturating_sub(4) };
/// Requests for TLS and for GSSAPI: each is answered with one letter.
const ENCRYPTION: [usize; 2] = [80_877_103, 80_877_104];
const REFUSED: u8 = b'N';
const PROTOCOL_3: usize = 3 << 16;
const READY: u8 = b'Z';
const IDLE: u8 = b'I';
/// More prepared statements than anybody has.
const MAX_STATEMENTS: usize = 10_000;

/// A commit that the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Commit {
    /// Where its message begins in the piece, or began before it.
    pub(super) start: usize,
    /// The answer ends with this many ReadyForQuery messages of the server.
    pub(super) ready: u64,
}

/// Follows both directions of one connection.
#[derive(Debug, Default)]
pub(super) struct Postgres {
    from_client: Frames,
    from_server: Frames,
    /// The session has begun: messages have letters.
    begun: bool,
    /// One letter is to come that is not a message.
    encryption_asked: bool,
    /// It is encrypted: nothing can be read any more.
    encrypted: bool,
    /// Whether these prepared statements, and these portals, commit when they are executed outside a
    /// transaction.
    statements: HashMap<Vec<u8>, bool>,
    portals: HashMap<Vec<u8>, bool>,
    /// The next Sync commits.
    commits: bool,
    /// How often the server will be ready when all is answered that was sent, and how often it was.
    expected: u64,
    ready: u64,
    /// No transaction is open.
    idle: bool,
}

impl Postgres {
    /// Reads what the client sent, and returns the first commit in it.
    pub(super) fn sent(&mut self, piece: &[u8]) -> Option<Commit> {
        let mut rest = piece;
        let mut first = None;
        while !self.encrypted {
            let start = piece.len() - rest.len();
            let layout = if self.begun { NAMED } else { UNNAMED };
            let Some(frame) = self.from_client.next(layout, &mut rest) else { break };
            if self.commits_with(&frame) && first.is_none() {
                first = Some(Commit { start, ready: self.expected });
            }
        }
        first
    }

    /// Reads what the server answered, and returns how often it was ready.
    pub(super) fn answered(&mut self, piece: &[u8]) -> u64 {
        let mut rest = piece;
        if self.encryption_asked
            && let Some((letter, others)) = rest.split_first()
        {
            self.encryption_asked = false;
            self.encrypted = *letter != REFUSED;
            rest = others;
        }
        while !self.encrypted
            && let Some(frame) = self.from_server.next(NAMED, &mut rest)
        {
            if frame.header[0] == READY {
                self.ready += 1;
                self.idle = frame.body.first() == Some(&IDLE);
            }
        }
        self.ready
    }

    fn commits_with(&mut self, frame: &Frame) -> bool {
        if !self.begun {
            self.begin(&frame.body);
            return false;
        }
        let (first, second) = names(&frame.body);
        match frame.header[0] {
            b'Q' => {
                self.expected += 1;
                return is_commit(first) || self.idle && inserts(first);
            }
            b'P' => {
                if self.statements.len() >= MAX_STATEMENTS {
                    self.statements.clear();
                }
                self.statements.insert(first.to_vec(), is_commit(second) || inserts(second));
            }
            b'B' => {
                let commits = self.statements.get(second).copied().unwrap_or(false);
                self.portals.insert(first.to_vec(), commits);
            }
            b'E' => {
                self.commits |= self.idle && self.portals.get(first).copied().unwrap_or(false);
            }
            b'S' => {
                self.expected += 1;
                self.portals.clear();
                return std::mem::take(&mut self.commits);
            }
            b'F' => self.expected += 1,
            _ => {}
        }
        false
    }

    fn begin(&mut self, body: &[u8]) {
        let code = number(body);
        self.encryption_asked = ENCRYPTION.contains(&code);
        if code == PROTOCOL_3 {
            self.begun = true;
            self.expected = 1;
        }
    }
}

/// The first two texts of a message, each of which ends with a zero.
fn names(body: &[u8]) -> (&[u8], &[u8]) {
    let mut texts = body.split(|byte| *byte == 0);
    (texts.next().unwrap_or_default(), texts.next().unwrap_or_default())
}

fn is_commit(sql: &[u8]) -> bool {
    sql.split(|byte| *byte == b';').any(|statement| statement.trim_ascii().eq_ignore_ascii_case(b"COMMIT"))
}

fn inserts(sql: &[u8]) -> bool {
    const INSERT: &[u8] = b"INSERT INTO";
    sql.windows(INSERT.len()).any(|words| words.eq_ignore_ascii_case(INSERT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(letter: u8, body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
        [&[letter][..], &size, body].concat()
    }

    fn startup() -> Vec<u8> {
        [&13_u32.to_be_bytes()[..], &[0, 3, 0, 0], b"user\0"].concat()
    }

    fn begun(status: &[u8]) -> Postgres {
        let mut postgres = Postgres::default();
        assert_eq!(postgres.sent(&startup()), None);
        assert_eq!(postgres.answered(&[named(b'R', &[0; 4]), named(READY, status)].concat()), 1);
        postgres
    }

    fn prepared(sql: &[u8]) -> Vec<u8> {
        let parse = named(b'P', &[b"s1\0", sql, b"\0\0\0"].concat());
        let bind = named(b'B', b"\0s1\0\0\0");
        [parse, bind, named(b'E', b"\0\0\0\0\0")].concat()
    }

    #[test]
    fn a_simple_commit_is_found_wherever_the_pieces_end() {
        let stream = [named(b'Q', b"SELECT 1\0"), named(b'Q', b"commit\0")].concat();
        let start = stream.len() - 12;
        for split in 0..stream.len() {
            let mut postgres = begun(b"T");
            assert_eq!(postgres.sent(&stream[..split]), None);
            let commit = postgres.sent(&stream[split..]).expect("a commit");
            assert_eq!(commit, Commit { start: start.saturating_sub(split), ready: 3 });
        }
        let mut postgres = begun(b"T");
        assert_eq!(postgres.sent(&named(b'Q', b"ROLLBACK\0")), None);
        assert_eq!(postgres.answered(&[named(b'C', b"x\0"), named(READY, b"I")].concat()), 2);
    }

    #[test]
    fn an_insert_commits_with_its_sync_when_no_transaction_is_open() {
        let insert = prepared(b"WITH h AS (SELECT 1) INSERT INTO postings SELECT 1");
        let stream = [&insert[..], &named(b'S', b"")].concat();
        let commit = begun(b"I").sent(&stream);
        assert_eq!(commit, Some(Commit { start: insert.len(), ready: 2 }));
        assert_eq!(begun(b"T").sent(&stream), None);
        let read = [prepared(b"SELECT 1"), named(b'S', b"")].concat();
        assert_eq!(begun(b"I").sent(&read), None);
    }

    #[test]
    fn a_refused_encryption_changes_nothing_and_a_granted_one_hides_all() {
        let ask = [8_u32.to_be_bytes(), 80_877_103_u32.to_be_bytes()].concat();
        let commit = named(b'Q', b"COMMIT\0");
        for (answer, found) in [(b"N", true), (b"S", false)] {
            let mut postgres = Postgres::default();
            assert_eq!(postgres.sent(&ask), None);
            assert_eq!(postgres.answered(answer), 0);
            assert_eq!(postgres.sent(&startup()), None);
            assert_eq!(postgres.answered(&named(READY, b"T")), u64::from(found));
            assert_eq!(postgres.sent(&commit).is_some(), found);
        }
    }
}
