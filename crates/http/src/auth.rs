//! Authentication and authorization: API keys, their roles, their wallets, and how much each may ask for.
//!
//! Keys are cached for a second: a revoked key works up to 1 s longer. The requests of a key share one look-up, and ids
//! that are not known yet are looked up a few at a time, so neither haste nor guessing keeps others waiting.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use axum_extra::headers::HeaderMapExt;
use axum_extra::headers::authorization::{Authorization, Bearer};
use florin_ledger::WalletId;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use lru::LruCache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::problem::{Fault, Problem};
use super::{App, KeyLimits};
use crate::database::{Database, DatabaseRequest};
use florin_keys::{ApiKey, Role, Sealed, Token};

const CACHED_FOR: Duration = Duration::from_secs(1);
const CACHED_KEYS: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");
const CACHED_UNKNOWN_IDS: NonZeroUsize = NonZeroUsize::new(1000).expect("not zero");
/// Ids that are not known yet: looked up at the same time, and in all with those that wait for their turn.
const FIRST_LOOKUPS: usize = 8;
const WAITING_LOOKUPS: usize = 128;

#[derive(Debug)]
pub(super) struct Authenticator {
    database: Database,
    /// None when requests need no key.
    keys: Option<Keys>,
}

#[derive(Debug)]
struct Keys {
    limits: KeyLimits,
    known: Mutex<LruCache<String, Arc<Known>>>,
    /// Apart from the keys that exist, so that no guesses push those out.
    unknown: Mutex<LruCache<String, Arc<Unknown>>>,
    first_lookups: Semaphore,
    waiting_lookups: Semaphore,
}

/// When it was read that no key has this id. Held while that is read: other requests with the id wait.
type Unknown = tokio::sync::Mutex<Option<Instant>>;

/// A key that exists.
#[derive(Debug)]
struct Known {
    /// Held while it is read again: the other requests of the key wait for that.
    latest: tokio::sync::Mutex<Latest>,
    limiter: DefaultDirectRateLimiter,
    in_flight: Arc<Semaphore>,
}

#[derive(Debug, Clone)]
struct Latest {
    key: Arc<ApiKey>,
    sealed: Sealed,
    read_at: Instant,
}

/// Who sent a request.
#[derive(Debug, Clone)]
pub(super) enum Caller {
    /// Requests need no key.
    Anybody,
    Key(Arc<ApiKey>),
}

/// Counts as a request in progress of its key until it is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct InFlight {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Authenticator {
    /// No limits when requests need no key.
    pub(super) fn new(database: Database, limits: Option<KeyLimits>) -> Self {
        let keys = limits.map(|limits| Keys {
            limits,
            known: Mutex::new(LruCache::new(CACHED_KEYS)),
            unknown: Mutex::new(LruCache::new(CACHED_UNKNOWN_IDS)),
            first_lookups: Semaphore::new(FIRST_LOOKUPS),
            waiting_lookups: Semaphore::new(WAITING_LOOKUPS),
        });
        Self { database, keys }
    }

    pub(super) async fn caller(&self, token: Option<&str>) -> Result<(Caller, InFlight), Problem> {
        let Some(keys) = &self.keys else { return Ok((Caller::Anybody, InFlight { _permit: None })) };
        let unauthorized = |reason| Problem::new(Fault::Unauthorized, reason);
        let token = token.ok_or_else(|| unauthorized("send an API key: Authorization: Bearer florin_..."))?;
        let refused = || unauthorized("the API key is unknown, revoked or expired");
        let token = Token::parse(token).ok_or_else(refused)?;
        let (known, latest) = self.find(keys, token.id()).await?.ok_or_else(refused)?;
        if !token.opens(&latest.sealed) || !latest.key.is_active(SystemTime::now()) {
            return Err(refused());
        }
        if let Err(not_until) = known.limiter.check() {
            let delay = not_until.wait_time_from(DefaultClock::default().now());
            let reason = format!("this key may send {} requests a second", keys.limits.requests_per_second);
            return Err(Problem::new(Fault::RateLimited, reason).retry_after(delay));
        }
        let permit = Arc::clone(&known.in_flight).try_acquire_owned().map_err(|_| {
            let reason = format!("this key may have {} requests in progress", keys.limits.max_in_flight);
            Problem::new(Fault::TooManyInFlight, reason)
        })?;
        Ok((Caller::Key(latest.key), InFlight { _permit: Some(permit) }))
    }

    async fn find(&self, keys: &Keys, id: &str) -> Result<Option<(Arc<Known>, Latest)>, Problem> {
        let find = async {
            match keys.known(id) {
                Some(known) => self.of_known(keys, known, id).await,
                None => self.first_lookup(keys, id).await,
            }
        };
        self.database.within(find).await
    }

    async fn of_known(
        &self,
        keys: &Keys,
        known: Arc<Known>,
        id: &str,
    ) -> Result<Option<(Arc<Known>, Latest)>, Problem> {
        let latest = self.latest(&known, id).await?;
        if latest.is_none() {
            lock(&keys.known).pop(id);
        }
        Ok(latest.map(|latest| (known, latest)))
    }

    /// What the key says now, or said up to a second ago.
    async fn latest(&self, known: &Known, id: &str) -> Result<Option<Latest>, Problem> {
        let mut latest = known.latest.lock().await;
        if latest.read_at.elapsed() < CACHED_FOR {
            return Ok(Some(latest.clone()));
        }
        let read = self.read(id).await?;
        if let Some(read) = &read {
            *latest = read.clone();
        }
        Ok(read)
    }

    async fn first_lookup(&self, keys: &Keys, id: &str) -> Result<Option<(Arc<Known>, Latest)>, Problem> {
        let unknown = Arc::clone(lock(&keys.unknown).get_or_insert(id.to_owned(), Arc::default));
        let mut unknown_at = unknown.lock().await;
        // Another request may have been first.
        if let Some(known) = keys.known(id) {
            return self.of_known(keys, known, id).await;
        }
        if unknown_at.is_some_and(|unknown_at| unknown_at.elapsed() < CACHED_FOR) {
            return Ok(None);
        }
        let Ok(_waiting) = keys.waiting_lookups.try_acquire() else {
            return Err(Problem::new(Fault::Overloaded, "too many new API keys at the same time"));
        };
        let _turn = keys.first_lookups.acquire().await;
        let read_at = Instant::now();
        let Some(latest) = self.read(id).await? else {
            *unknown_at = Some(read_at);
            return Ok(None);
        };
        let new = || {
            Arc::new(Known {
                latest: tokio::sync::Mutex::new(latest.clone()),
                limiter: RateLimiter::direct(Quota::per_second(keys.limits.requests_per_second)),
                in_flight: Arc::new(Semaphore::new(keys.limits.max_in_flight)),
            })
        };
        let known = Arc::clone(lock(&keys.known).get_or_insert(id.to_owned(), new));
        Ok(Some((known, latest)))
    }

    async fn read(&self, id: &str) -> Result<Option<Latest>, Problem> {
        let read_at = Instant::now();
        let found = self.database.call(DatabaseRequest::FindKey, id.to_owned()).await?;
        Ok(found.map(|(key, sealed)| Latest { key: Arc::new(key), sealed, read_at }))
    }
}

impl Keys {
    fn known(&self, id: &str) -> Option<Arc<Known>> {
        lock(&self.known).get(id).cloned()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
    let token = bearer.as_ref().map(|bearer| bearer.token().trim());
    let (caller, _in_flight) = app.authenticator.caller(token).await?;
    if let Caller::Anybody = caller {
        app.sites.check(request.uri(), request.headers())?;
    }
    caller.needs(role)?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}
