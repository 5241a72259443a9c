//! Connecting to RabbitMQ, for the service's side and for clients: where the broker is, whom to trust, and when to
//! try again.

mod address;
mod addresses;
mod backoff;
pub mod screen;

pub use address::{Address, AddressError, TLS_PARAMETERS};
pub use addresses::{Addresses, ConnectError, split_urls};
pub use backoff::Backoff;
