//! Fault runs on real processes, and the proof from their histories that nothing was lost or applied twice.
//!
//! A run goes through these modules in this order: `plan` derives the schedule from a seed (`kind`: the kinds
//! of faults), `world` starts servers (`servers`), proxies and instances (`service`, `supervisor`, `scratch`), `load`
//! sends requests and records what happens (`history`), `inject` injects the faults, `collect` records the
//! final state (`record`), and `check` reads these files alone. `run` joins them, `report` prints the
//! result.
//!
//! What faults are made of: `nodes` (of a cluster), `proxy` (connections), `disk` (full disks, power cuts), `clock`, `limits`
//! (alarms, too many connections).

pub mod check;
pub mod cli;
pub mod clock;
pub mod collect;
pub mod disk;
mod files;
pub mod history;
pub mod inject;
pub mod kind;
pub mod limits;
pub mod load;
mod nodes;
pub mod plan;
pub mod proxy;
pub mod record;
pub mod report;
pub mod run;
pub mod scratch;
pub mod servers;
pub mod service;
pub mod supervisor;
pub mod world;
