//! Free TCP ports on 127.0.0.1.

use std::net::TcpListener;

use crate::error::{Doing, Error};

/// How often a start is tried again with other ports when somebody else was faster.
const ATTEMPTS: u32 = 5;

/// `N` different ports that nobody listens on right now.
pub fn free<const N: usize>() -> Result<[u16; N], Error> {
    // All are held until all are chosen, so that they differ.
    let mut listeners = vec![];
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0)).doing(|| "find a free port".into())?;
        *port = listener.local_addr().doing(|| "find a free port".into())?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

/// Tries again as long as only a taken port is in the way and `may_change` allows another.
pub(crate) fn with_retries<T>(
    may_change: bool,
    mut attempt: impl FnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(error) if may_change && error.is_port_taken() => {}
            result => return result,
        }
    }
    attempt()
}
