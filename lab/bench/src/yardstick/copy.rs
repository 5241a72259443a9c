//! The bound: binary COPY of rows that the service wrote, into an empty table with the same columns, checks
//! and indexes. Nothing reads, decides or answers.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt, TryStreamExt, future};

use super::{Error, connect, runtime};
use crate::results::Round;

const TABLE: &str = "bare_postings";
const MESSAGE: usize = 64 * 1024;
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

#[derive(Debug)]
pub(crate) struct Rows {
    url: String,
    header: Bytes,
    rows: Vec<Bytes>,
}

impl Rows {
    /// Reads up to `count` rows of the service's table, in the order in which they were written, and makes a
    /// table like it.
    pub(crate) fn export(url: &str, limit: usize) -> Result<Self, Error> {
        runtime()?.block_on(async {
            let client = connect(url).await?;
            let table = format!("CREATE TABLE IF NOT EXISTS {TABLE} (LIKE postings INCLUDING ALL)");
            client.batch_execute(&table).await?;
            let query = format!("COPY (SELECT * FROM postings LIMIT {limit}) TO STDOUT (FORMAT binary)");
            let parts: Vec<Bytes> = client.copy_out(&query).await?.try_collect().await?;
            let (header, rows) = split(Bytes::from(parts.concat()))?;
            Ok(Self { url: url.to_owned(), header, rows })
        })
    }

    pub(crate) const fn count(&self) -> usize {
        self.rows.len()
    }

    /// Copies all of them into the empty table.
    pub(crate) fn copy(&self, rows_each: Option<usize>, connections: u32) -> Result<Round, Error> {
        let connections = usize::try_from(connections.max(1)).unwrap_or(1);
        let each = rows_each.unwrap_or_else(|| self.rows.len().div_ceil(connections)).max(1);
        let transactions: Vec<Vec<Bytes>> = self.rows.chunks(each).map(|rows| self.messages(rows)).collect();
        // Turn by turn, so that both connections write at the same place, as two services would.
        let mut shares = vec![Vec::new(); connections];
        for (index, transaction) in transactions.into_iter().enumerate() {
            shares[index % connections].push(transaction);
        }
        runtime()?.block_on(async {
            let client = connect(&self.url).await?;
            client.batch_execute(&format!("TRUNCATE {TABLE}; CHECKPOINT")).await?;
            let url: Arc<str> = self.url.as_str().into();
            let mut clients = Vec::new();
            for _ in 0..connections {
                clients.push(connect(&url).await?);
            }
            let started = Instant::now();
            let copies = clients.iter().zip(shares).map(|(client, share)| send(client, share));
            let copied: u64 = future::try_join_all(copies).await?.into_iter().sum();
            let seconds = started.elapsed().as_secs_f64();
            let per_second = copied as f64 / seconds;
            Ok(Round { requests: copied, seconds, per_second, ..Round::default() })
        })
    }

    fn messages(&self, rows: &[Bytes]) -> Vec<Bytes> {
        let mut messages = Vec::new();
        let mut message = BytesMut::from(self.header.as_ref());
        for row in rows {
            message.extend_from_slice(row);
            if message.len() >= MESSAGE {
                messages.push(message.split().freeze());
            }
        }
        message.extend_from_slice(&TRAILER);
        messages.push(message.freeze());
        messages
    }
}

/// Copies one transaction after the other, and returns how many rows those were.
async fn send(client: &tokio_postgres::Client, transactions: Vec<Vec<Bytes>>) -> Result<u64, Error> {
    let copy = client.prepare(&format!("COPY {TABLE} FROM STDIN (FORMAT binary)")).await?;
    let mut copied = 0;
    for messages in transactions {
        let mut sink = Box::pin(client.copy_in::<_, Bytes>(&copy).await?);
        sink.send_all(&mut futures_util::stream::iter(messages).map(Ok)).await?;
        copied += sink.as_mut().finish().await?;
    }
    Ok(copied)
}

/// The header, and the rows one by one. A row is the number of its fields, and for each its length (-1 for
/// NULL) and its bytes.
fn split(mut data: Bytes) -> Result<(Bytes, Vec<Bytes>), Error> {
    let unreadable = || Error::Unreadable("the rows of COPY cannot be read".to_owned());
    // The signature, flags, and the length of an extension, which has always been 0.
    let header_length = SIGNATURE.len() + 8;
    if data.len() < header_length || !data.starts_with(SIGNATURE) {
        return Err(unreadable());
    }
    let header = data.split_to(header_length);
    let mut rows = Vec::new();
    loop {
        let fields = i16::from_be_bytes(array(&data, 0).ok_or_else(unreadable)?);
        if fields < 0 {
            return Ok((header, rows));
        }
        let mut length = 2;
        for _ in 0..fields {
            let field = i32::from_be_bytes(array(&data, length).ok_or_else(unreadable)?);
            length += 4 + usize::try_from(field).unwrap_or(0);
        }
        if length > data.len() {
            return Err(unreadable());
        }
        rows.push(data.split_to(length));
    }
}

fn array<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(fields: &[Option<&[u8]>]) -> Vec<u8> {
        let mut row = i16::try_from(fields.len()).unwrap().to_be_bytes().to_vec();
        for field in fields {
            let length = field.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap());
            row.extend(length.to_be_bytes());
            row.extend(field.unwrap_or_default());
        }
        row
    }

    fn stream(rows: &[Vec<u8>]) -> Bytes {
        let mut data = SIGNATURE.to_vec();
        data.extend([0; 8]);
        data.extend(rows.concat());
        data.extend(TRAILER);
        data.into()
    }

    #[test]
    fn rows_are_split_and_put_together_again() {
        let rows = [row(&[Some(b"abc"), None]), row(&[Some(b""), Some(&[7; 300])]), row(&[])];
        let data = stream(&rows);
        let (header, split_rows) = split(data.clone()).unwrap();
        assert_eq!(split_rows, rows);
        let rows = Rows { url: String::new(), header, rows: split_rows };
        assert_eq!(rows.messages(&rows.rows).concat(), data);
    }

    #[test]
    fn what_is_not_a_copy_is_refused() {
        let data = stream(&[row(&[Some(b"abc")])]);
        for length in [0, 5, SIGNATURE.len() + 8, data.len() - 1, data.len() - 4] {
            assert!(split(data.slice(..length)).is_err(), "{length}");
        }
        assert!(split(Bytes::from(vec![1; 100])).is_err());
    }
}
