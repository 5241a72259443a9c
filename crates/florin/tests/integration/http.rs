//! The HTTP side on real servers.

mod access;
mod api;
mod console;
mod docs;
mod limits;
mod sites;

use std::ops::RangeInclusive;
use std::time::SystemTime;

use florin_keys::Role;
use florin_ledger::WalletId;
use florin_store::NewKey;

use crate::common::{Http, Service, World};

/// A service with a key of this role, good for all wallets.
async fn served(role: Role) -> (World, Service, Http) {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let key = key(&world, "tester", role, None).await;
    let http = Http::of(&service).with_key(&key);
    (world, service, http)
}

pub(crate) async fn key(
    world: &World,
    name: &str,
    role: Role,
    wallets: Option<RangeInclusive<WalletId>>,
) -> String {
    expiring_key(world, name, role, wallets, None).await
}

async fn expiring_key(
    world: &World,
    name: &str,
    role: Role,
    wallets: Option<RangeInclusive<WalletId>>,
    expires_at: Option<SystemTime>,
) -> String {
    let key = NewKey { name: name.into(), role, wallets, expires_at };
    world.store.create_key(&key).await.unwrap().reveal()
}
