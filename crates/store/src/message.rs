//! What PostgreSQL says when it refuses something, for the messages of the command line.

use std::error::Error;

use tokio_postgres::error::SqlState;

/// What PostgreSQL said.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseMessage<'a> {
    pub message: &'a str,
    pub detail: Option<&'a str>,
    pub hint: Option<&'a str>,
    /// Whether a table or a column is missing.
    pub lacks_schema: bool,
}

impl<'a> DatabaseMessage<'a> {
    /// The message of this error itself, if it is one of the server's.
    #[must_use]
    pub fn of(error: &'a (dyn Error + 'static)) -> Option<Self> {
        let said = error.downcast_ref::<tokio_postgres::Error>()?.as_db_error()?;
        Some(Self {
            message: said.message(),
            detail: said.detail(),
            hint: said.hint(),
            lacks_schema: [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN].contains(said.code()),
        })
    }
}
