//! TLS of all connections, by rustls: certificates from PEM files, and whom to trust.
//!
//! AMQP, PostgreSQL and HTTP all get their configurations here, with one cryptography provider (ring). In
//! reading order: `files` reads PEM, `config` makes a client or server configuration of it, `verify` has the
//! two weaker checks that PostgreSQL knows, `explain` names the setting behind a failed handshake, `url`
//! keeps file names in URLs.

mod config;
mod explain;
mod files;
mod url;
mod verify;

pub use config::{Check, Client, Server};
pub use explain::{explain, plain};
pub use files::{Error, Names};
pub use rustls::ClientConfig;
pub use url::{take_parameters, with_parameters};
