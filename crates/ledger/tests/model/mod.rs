//! Random lists of everything that can be asked for, and what a naive model makes of them.
//!
//! Also included by tests that run the same lists through a real database, so it needs nothing but the rules'
//! own words. [`plan`] makes a [`Plan`], which is a list in the words of a generator ("settle what was opened
//! two requests ago"); a [`Player`] turns it round by round into groups of commands, lets the [`Model`] answer
//! them, and returns both. [`Memory`] stands for the database where there is none.
#![allow(dead_code, reason = "each test binary uses its own part")]

mod memory;
mod naive;
mod plan;
mod play;
mod request;

pub(crate) use memory::Memory;
pub(crate) use plan::{Plan, plan};
pub(crate) use play::{Player, Round, World};
