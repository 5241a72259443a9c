//! Connections to RabbitMQ, for the service and for clients: address, TLS, and delays between attempts.

mod address;
mod addresses;
mod backoff;
pub mod screen;

pub use address::{Address, AddressError, TLS_PARAMETERS};
pub use addresses::{Addresses, ConnectError, split_urls};
pub use backoff::Backoff;
