//! Keeps a message that lapin cannot decode from ending the connection.
//!
//! lapin reads short strings as UTF-8, knows not every type of header, and reads nested headers recursively.
//! RabbitMQ passes all of that on. lapin then ends the connection, so one message of one client costs every
//! other its deliveries. So what arrives passes through here first: a [`Stream`] below lapin that rewrites
//! the few frames it cannot read.
//!
//! - A name in the delivery itself (exchange, routing key) has `?` in place of each byte that is not text.
//! - A property that cannot be read is left out, and the header [`UNDECODABLE`] names it.
//! - A header whose value cannot be read, or is nested more than [`MAX_DEPTH`] deep, has no value.
//!
//! Everything else passes as it came. What follows is checked against lapin's own decoder (`tests`).

mod frame;
mod stream;
mod values;

#[cfg(test)]
mod tests;

pub use frame::UNDECODABLE;
pub use values::MAX_DEPTH;

pub(crate) use stream::{Sockets, Stream};
