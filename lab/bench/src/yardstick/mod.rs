//! What PostgreSQL does without the service, on the same server with the same settings.
//!
//! `commit` is the least that anything durable takes, `pgbench` what everybody knows, `copy` the fastest way
//! to write such rows.

pub(crate) mod commit;
pub(crate) mod copy;
pub(crate) mod pgbench;

use tokio_postgres::{Client, NoTls};

use crate::process;

/// Why a yardstick has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("PostgreSQL: {0}")]
    Database(#[from] tokio_postgres::Error),
    #[error(transparent)]
    Process(#[from] process::Error),
    #[error("cannot start a runtime: {0}")]
    Runtime(std::io::Error),
    #[error("{0}")]
    Unreadable(String),
}

fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)
}

async fn connect(url: &str) -> Result<Client, Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // The user of the client sees its error.
    tokio::spawn(connection);
    Ok(client)
}
