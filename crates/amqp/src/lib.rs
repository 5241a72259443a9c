//! Connecting to RabbitMQ, for the service's side and for clients: where the broker is, and whom to trust.

mod address;

pub use address::{Address, AddressError, TLS_PARAMETERS};
