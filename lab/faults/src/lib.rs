//! Fault runs on real processes, and the proof from their histories that nothing was lost or doubled.
//!
//! A run goes through these modules in this order: `plan` makes the schedule from a seed (`kind`: what can happen), `world`
//! starts servers, proxies and instances (`service`, `supervisor`, `scratch`), `load` sends requests and writes down what happens
//! (`history`), `inject` lets the faults happen, `collect` writes down what is left (`record`), and `check` judges by these
//! files alone. `run` is the whole of it, `report` says what came of it.
//!
//! What faults are made of: `proxy` (connections), `disk` (full disks, power cuts), `clock`, `limits` (alarms, too many
//! connections).

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
pub mod plan;
pub mod proxy;
pub mod record;
pub mod report;
pub mod run;
pub mod scratch;
pub mod service;
pub mod supervisor;
pub mod world;
