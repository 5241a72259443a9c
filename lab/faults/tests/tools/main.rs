//! What faults are made of, on real servers: connections, disks, clocks and limits.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod clock;
mod disk;
mod limits;
mod proxy;
