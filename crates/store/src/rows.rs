//! Columns of a row, by name.
//!
//! A column that is missing, or of another type than this version expects, is an error like any other: a
//! schema that was changed by hand must not make the service panic.

use florin_ledger::{Decimal, ErrorCode, Operation, Scale, Status, Ticker};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use crate::Error;

pub(crate) fn get<'row, T: FromSql<'row>>(row: &'row Row, column: &'static str) -> Result<T, Error> {
    row.try_get(column).map_err(|source| Error::Column { column, source })
}

/// A ticker from the columns `ticker_id`, `ticker` and `scale`.
pub(crate) fn ticker(row: &Row) -> Result<Ticker, Error> {
    let name: &str = get(row, "ticker")?;
    Ok(Ticker { id: get(row, "ticker_id")?, name: name.into(), scale: scale(row)? })
}

pub(crate) fn scale(row: &Row) -> Result<Scale, Error> {
    let places: i16 = get(row, "scale")?;
    Scale::try_from(i64::from(places)).map_err(|_| Error::unknown_value("scale", places.to_string()))
}

/// A `numeric` that was selected as text.
pub(crate) fn decimal(row: &Row, column: &'static str) -> Result<Decimal, Error> {
    let text: &str = get(row, column)?;
    text.parse().map_err(|_| Error::unknown_value(column, text))
}

/// A `numeric` that was selected as text, in minor units.
pub(crate) fn minor_units(row: &Row, column: &'static str, scale: Scale) -> Result<i128, Error> {
    let decimal = decimal(row, column)?;
    decimal.to_minor(scale).map_err(|_| Error::unknown_value(column, decimal.to_string()))
}

pub(crate) fn operation(row: &Row) -> Result<Operation, Error> {
    let name: &str = get(row, "operation")?;
    name.parse().map_err(|_| Error::unknown_value("operation", name))
}

pub(crate) fn status(row: &Row) -> Result<Status, Error> {
    let name: &str = get(row, "status")?;
    name.parse().map_err(|_| Error::unknown_value("status", name))
}

pub(crate) fn error_code(row: &Row, column: &'static str) -> Result<Option<ErrorCode>, Error> {
    let code: Option<&str> = get(row, column)?;
    code.map(|code| code.parse().map_err(|_| Error::unknown_value(column, code))).transpose()
}
