//! The operator console: pages rendered on the server that work without JavaScript.
//!
//! In reading order: `session` (sign-in, and protection against forged forms), `layout` (what all pages
//! share), `text` (amounts and times), `assets`; then one module per page: `overview` with `live` (its
//! updates), `wallets` with `chart`, `transactions`, `pending`, `dead`. Nothing is loaded from elsewhere: the
//! content security policy forbids it.

mod assets;
mod chart;
mod dead;
mod layout;
mod live;
mod overview;
mod pending;
mod session;
mod text;
mod transactions;
mod wallets;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, get, post};

use super::App;
use florin_keys::Role;

pub(super) use layout::{error_page, open_page};
pub(super) use live::{Live, sample};

const MAX_FORM_BYTES: usize = 4096;

pub(super) fn router(app: &App) -> Router<App> {
    let mut router = Router::new()
        .route("/console/sign-in", get(session::form).post(session::sign_in))
        .route("/console/sign-out", post(session::sign_out))
        .route("/console/assets/{name}", get(assets::serve));
    for (role, path, handler) in pages() {
        let guarded = handler.layer(from_fn_with_state((app.clone(), role), session::enter));
        router = router.route(path, guarded);
    }
    router.layer(from_fn(session::same_origin_only)).layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
}

/// The pages that need a key, with the least role.
fn pages() -> [(Role, &'static str, MethodRouter<App>); 10] {
    use Role::{Operator, Reader};
    [
        (Reader, "/console", get(overview::overview)),
        (Reader, "/console/live", get(live::live)),
        (Reader, "/console/search", get(wallets::search)),
        (Reader, "/console/wallets", get(wallets::list)),
        (Reader, "/console/wallets/{wallet_id}", get(wallets::wallet)),
        (Reader, "/console/transactions/{transaction_id}", get(transactions::transaction)),
        (
            Operator,
            "/console/transactions/{transaction_id}/{action}",
            get(transactions::confirm).post(transactions::end),
        ),
        (Reader, "/console/pending", get(pending::pending)),
        (Operator, "/console/dead", get(dead::list)),
        (Operator, "/console/dead/{id}", get(dead::letter).post(dead::decide)),
    ]
}
