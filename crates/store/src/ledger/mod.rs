//! Executes batches of commands, each exactly once: plan, commit, and plan again after a conflict.
//!
//! | phase | where | round trips |
//! |---|---|---|
//! | take balances from the cache; read the rest | [`planner`], [`cache`], [`reads`] | 0, or 1 per kind of read |
//! | apply the rules (`florin_ledger::apply`) | [`planner`] | 0 |
//! | append the postings if the preconditions hold | [`mod@commit`] | 1 |
//!
//! The commit is one statement, which is the transaction; only in a turn, reads and commit share a
//! transaction. It is left out if there is nothing to append and nothing to check.
//!
//! While a plan is committed, the next batch is planned from the cache, on what the plan leaves behind
//! ([`Planner::plan_from_cache`]); it is committed only after that. The caller joins the two.
//!
//! **Why a cached balance may be used.** Nothing relies on the cache being right, nor on this being the only
//! writer. A plan that appends to a chain carries the next version of it: if another writer took that
//! version, the primary key refuses the whole statement. A plan that only *answers* with a cached balance has
//! it as a precondition, which the statement checks. In either case the answer is
//! [`Error::Conflict`](crate::Error::Conflict), nothing was written, and the batch is planned again on what
//! is read ([`mod@execute`]), in a turn in which no other writer commits, so that none starves
//! (`contention`).
//!
//! **Why nothing is applied twice.** The transaction's id is its identity, and (transaction_id, leg) is a
//! unique key. So normally no identity is looked up. Only after a conflict, or a commit in doubt, are the
//! identities read, and recorded transactions are replayed.
//!
//! `history` and `holds` are further queries; `look_up` answers reads without the broker; `probe` tells
//! whether the database can execute anything.

mod cache;
mod commit;
mod contention;
mod execute;
mod history;
mod holds;
mod look_up;
mod plan;
mod planner;
mod probe;
mod reads;

pub use execute::execute;
pub use holds::ExpiryLock;
pub use plan::{Executed, Plan};
pub use planner::Planner;
pub(crate) use reads::tickers;
