//! Who asks, and whether that is allowed: API keys, their roles, their wallets, their rates.
//!
//! What was read of a key is remembered for a second: so long a revoked key may go on.

use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use florin_ledger::WalletId;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use lru::LruCache;

use super::App;
use super::problem::{Fault, Problem};
use florin_keys::{ApiKey, Role, Sealed, Token};
use florin_store::Store;

/// How long a key is not read again.
const REMEMBERED_FOR: Duration = Duration::from_secs(1);
/// So many keys are remembered.
const REMEMBERED_KEYS: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");

/// The door.
#[derive(Debug)]
pub(super) struct Access {
    store: Store,
    /// None when anybody may do anything.
    keys: Option<Keys>,
}

#[derive(Debug)]
struct Keys {
    quota: Quota,
    remembered: Mutex<LruCache<String, Arc<Known>>>,
}

#[derive(Debug)]
struct Known {
    key: Arc<ApiKey>,
    sealed: Sealed,
    read_at: Instant,
    limiter: Arc<DefaultDirectRateLimiter>,
}

/// Who asks.
#[derive(Debug, Clone)]
pub(super) enum Caller {
    /// The service asks for no keys.
    Anybody,
    /// The one with this key.
    Key(Arc<ApiKey>),
}

impl Access {
    /// With `per_second` the requests that a key may send in a second; none when no keys are asked for.
    pub(super) fn new(store: Store, per_second: Option<NonZeroU32>) -> Self {
        let keys = per_second.map(|per_second| Keys {
            quota: Quota::per_second(per_second),
            remembered: Mutex::new(LruCache::new(REMEMBERED_KEYS)),
        });
        Self { store, keys }
    }

    /// Who sends this token.
    pub(super) async fn caller(&self, token: Option<&str>) -> Result<Caller, Problem> {
        let Some(keys) = &self.keys else { return Ok(Caller::Anybody) };
        let unauthorized = |reason| Problem::new(Fault::Unauthorized, reason);
        let token = token.ok_or_else(|| unauthorized("send an API key: Authorization: Bearer florin_..."))?;
        let refused = || unauthorized("the API key is unknown, revoked or expired");
        let token = Token::parse(token).ok_or_else(refused)?;
        let known = self.known(keys, token.id()).await?.ok_or_else(refused)?;
        if !token.opens(&known.sealed) || !known.key.is_active(SystemTime::now()) {
            return Err(refused());
        }
        if let Err(not_until) = known.limiter.check() {
            let delay = not_until.wait_time_from(DefaultClock::default().now());
            let reason = format!("the key sent more than {} requests a second", keys.quota.burst_size());
            return Err(Problem::new(Fault::RateLimited, reason).retry_after(delay));
        }
        Ok(Caller::Key(Arc::clone(&known.key)))
    }

    async fn known(&self, keys: &Keys, id: &str) -> Result<Option<Arc<Known>>, Problem> {
        let remembered = || keys.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let before = remembered().get(id).cloned();
        if let Some(known) = before.as_ref().filter(|known| known.read_at.elapsed() < REMEMBERED_FOR) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some((key, sealed)) = self.store.find_key(id).await? else { return Ok(None) };
        let limiter = before
            .map_or_else(|| Arc::new(RateLimiter::direct(keys.quota)), |known| Arc::clone(&known.limiter));
        let known = Arc::new(Known { key: Arc::new(key), sealed, read_at: Instant::now(), limiter });
        remembered().put(id.to_owned(), Arc::clone(&known));
        Ok(Some(known))
    }
}

impl Caller {
    /// Refuses one whose role is not enough.
    pub(super) fn needs(&self, role: Role) -> Result<(), Problem> {
        match self {
            Self::Key(key) if key.role < role => {
                let reason = format!("key {} is of a {}; this needs a {role}", key.name, key.role);
                Err(Problem::new(Fault::Forbidden, reason))
            }
            _ => Ok(()),
        }
    }

    /// Refuses one whose key is not good for these wallets.
    pub(super) fn needs_wallets(
        &self,
        wallet_ids: impl IntoIterator<Item = WalletId>,
    ) -> Result<(), Problem> {
        let Self::Key(key) = self else { return Ok(()) };
        match wallet_ids.into_iter().find(|wallet_id| !key.covers(*wallet_id)) {
            None => Ok(()),
            Some(wallet_id) => {
                let reason = format!("key {} is not good for wallet {wallet_id}", key.name);
                Err(Problem::new(Fault::Forbidden, reason))
            }
        }
    }

    /// Refuses one whose key is good for some wallets only: what is asked for may be anybody's.
    pub(super) fn needs_all_wallets(&self) -> Result<(), Problem> {
        match self {
            Self::Key(key) if key.wallets.is_some() => {
                let reason = format!("key {} is good for some wallets only; this needs all", key.name);
                Err(Problem::new(Fault::Forbidden, reason))
            }
            _ => Ok(()),
        }
    }

    /// Under which name transactions keep who asked for them.
    pub(super) fn on_behalf_of(&self) -> String {
        match self {
            Self::Anybody => "anybody".to_owned(),
            Self::Key(key) => format!("key:{}", key.name),
        }
    }

    /// The only wallets that it may see to; all when there are none.
    pub(super) fn wallets(&self) -> Option<&RangeInclusive<WalletId>> {
        match self {
            Self::Anybody => None,
            Self::Key(key) => key.wallets.as_ref(),
        }
    }
}

/// The token of a request.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Lets in those whose key is good for this role, and tells the rest of the way who it is.
pub(super) async fn enter(
    State((app, role)): State<(App, Role)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let token = bearer(request.headers()).map(ToOwned::to_owned);
    let caller = app.access.caller(token.as_deref()).await?;
    caller.needs(role)?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}
