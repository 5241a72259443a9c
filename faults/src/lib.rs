//! Fault runs on real processes, and the proof from their histories that nothing was lost or doubled.
//!
//! What faults are made of: `proxy` (connections), `disk` (full disks, power cuts), `clock`, `limits` (alarms, too many
//! connections).

pub mod clock;
pub mod disk;
pub mod limits;
pub mod proxy;
