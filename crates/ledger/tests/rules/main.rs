//! The rules by tables: every refusal in order of precedence and what it leaves behind, what every step moves,
//! what a retry gets, and what a group comes to that is done whole or not at all.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod codes;
mod fixtures;
mod groups;
mod history;
mod looking_up;
mod moving;
mod opening;
#[path = "../model/request.rs"]
mod request;
mod resolving;
mod time;
