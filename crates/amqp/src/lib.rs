//! Connections to RabbitMQ, for the service and for clients: address, TLS, and delays between attempts.

mod address;
mod backoff;

pub use address::{Address, AddressError, TLS_PARAMETERS};
pub use backoff::Backoff;
