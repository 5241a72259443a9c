//! Authentication and authorization: API keys, their roles, their wallets, their rates.
//!
//! Keys are cached for a second: a revoked key works up to 1 s longer.

use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use axum_extra::headers::HeaderMapExt;
use axum_extra::headers::authorization::{Authorization, Bearer};
use florin_ledger::WalletId;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use lru::LruCache;

use super::App;
use super::problem::{Fault, Problem};
use crate::database::{Database, DatabaseRequest};
use florin_keys::{ApiKey, Role, Sealed, Token};

const CACHED_FOR: Duration = Duration::from_secs(1);
const CACHED_KEYS: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");

#[derive(Debug)]
pub(super) struct Authenticator {
    database: Database,
    /// None when requests need no key.
    keys: Option<Keys>,
}

#[derive(Debug)]
struct Keys {
    quota: Quota,
    cache: Mutex<LruCache<String, Arc<Cached>>>,
}

#[derive(Debug)]
struct Cached {
    key: Arc<ApiKey>,
    sealed: Sealed,
    read_at: Instant,
    limiter: Arc<DefaultDirectRateLimiter>,
}

/// Who sent a request.
#[derive(Debug, Clone)]
pub(super) enum Caller {
    /// Requests need no key.
    Anybody,
    Key(Arc<ApiKey>),
}

impl Authenticator {
    /// `per_second` limits the requests of each key; none when requests need no key.
    pub(super) fn new(database: Database, per_second: Option<NonZeroU32>) -> Self {
        let keys = per_second.map(|per_second| Keys {
            quota: Quota::per_second(per_second),
            cache: Mutex::new(LruCache::new(CACHED_KEYS)),
        });
        Self { database, keys }
    }

    pub(super) async fn caller(&self, token: Option<&str>) -> Result<Caller, Problem> {
        let Some(keys) = &self.keys else { return Ok(Caller::Anybody) };
        let unauthorized = |reason| Problem::new(Fault::Unauthorized, reason);
        let token = token.ok_or_else(|| unauthorized("send an API key: Authorization: Bearer florin_..."))?;
        let refused = || unauthorized("the API key is unknown, revoked or expired");
        let token = Token::parse(token).ok_or_else(refused)?;
        let found = self.find(keys, token.id()).await?.ok_or_else(refused)?;
        if !token.opens(&found.sealed) || !found.key.is_active(SystemTime::now()) {
            return Err(refused());
        }
        if let Err(not_until) = found.limiter.check() {
            let delay = not_until.wait_time_from(DefaultClock::default().now());
            let reason = format!("this key may send {} requests a second", keys.quota.burst_size());
            return Err(Problem::new(Fault::RateLimited, reason).retry_after(delay));
        }
        Ok(Caller::Key(Arc::clone(&found.key)))
    }

    async fn find(&self, keys: &Keys, id: &str) -> Result<Option<Arc<Cached>>, Problem> {
        let cache = || keys.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = cache().get(id).cloned();
        if let Some(fresh) = cached.as_ref().filter(|cached| cached.read_at.elapsed() < CACHED_FOR) {
            return Ok(Some(Arc::clone(fresh)));
        }
        let Some((key, sealed)) = self.database.call(DatabaseRequest::FindKey, id.to_owned()).await? else {
            return Ok(None);
        };
        let limiter = cached
            .map_or_else(|| Arc::new(RateLimiter::direct(keys.quota)), |cached| Arc::clone(&cached.limiter));
        let read = Arc::new(Cached { key: Arc::new(key), sealed, read_at: Instant::now(), limiter });
        cache().put(id.to_owned(), Arc::clone(&read));
        Ok(Some(read))
    }
}

impl Caller {
    pub(super) fn needs(&self, role: Role) -> Result<(), Problem> {
        match self {
            Self::Key(key) if key.role < role => {
                let reason = format!("key {} has role {}; this needs role {role}", key.name, key.role);
                Err(Problem::new(Fault::Forbidden, reason))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn needs_wallets(
        &self,
        wallet_ids: impl IntoIterator<Item = WalletId>,
    ) -> Result<(), Problem> {
        let Self::Key(key) = self else { return Ok(()) };
        match wallet_ids.into_iter().find(|wallet_id| !key.covers(*wallet_id)) {
            None => Ok(()),
            Some(wallet_id) => {
                let reason = format!("key {} does not cover wallet {wallet_id}", key.name);
                Err(Problem::new(Fault::Forbidden, reason))
            }
        }
    }

    /// For data that may belong to any wallet.
    pub(super) fn needs_all_wallets(&self) -> Result<(), Problem> {
        match self {
            Self::Key(key) if key.wallets.is_some() => {
                let reason = format!("key {} covers some wallets only; this needs a key for all", key.name);
                Err(Problem::new(Fault::Forbidden, reason))
            }
            _ => Ok(()),
        }
    }

    /// What transactions record as `requested_by`.
    pub(super) fn on_behalf_of(&self) -> String {
        match self {
            Self::Anybody => "anybody".to_owned(),
            Self::Key(key) => format!("key:{}", key.name),
        }
    }

    /// The wallets that its key covers; none when it covers all.
    pub(super) fn wallets(&self) -> Option<&RangeInclusive<WalletId>> {
        match self {
            Self::Anybody => None,
            Self::Key(key) => key.wallets.as_ref(),
        }
    }
}

/// Refuses callers below this role, and passes the caller on to the handler.
pub(super) async fn enter(
    State((app, role)): State<(App, Role)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let bearer = request.headers().typed_get::<Authorization<Bearer>>();
    let caller = app.authenticator.caller(bearer.as_ref().map(|bearer| bearer.token().trim())).await?;
    caller.needs(role)?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}
