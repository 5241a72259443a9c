//! Faults of a cluster: of one of several servers, which the others replace.

use std::time::Duration;

use tokio::sync::MutexGuard;
use tokio::time::sleep;

use crate::kind::Kind;
use crate::plan::Fault;
use crate::proxy::Mode;
use crate::servers::{STANDBY, Servers};
use crate::world::World;

/// Waits until no other server of the same kind is away, for the loss of a majority is another kind of fault.
pub(crate) async fn turn(kind: Kind, servers: &Servers) -> Option<MutexGuard<'_, ()>> {
    match kind {
        Kind::KillNode | Kind::RestartNode | Kind::FreezeNode | Kind::CutNode | Kind::KillTwoNodes => {
            Some(servers.broker_turn.lock().await)
        }
        // Without a connection nobody can change the roles.
        Kind::LosePrimary | Kind::KillStandby | Kind::DropStandby | Kind::ConnectionLimit => {
            Some(servers.database_turn.lock().await)
        }
        _ => None,
    }
}

/// One fault, from its beginning until all servers are there again.
pub(crate) async fn one(fault: &Fault, world: &World) -> Result<(), devstack::Error> {
    let servers = &world.servers;
    let lasts = Duration::from_millis(fault.for_ms);
    let node = usize::try_from(fault.amount).unwrap_or_default() % servers.nodes();
    match fault.kind {
        Kind::KillNode => {
            servers.with_node(node, devstack::Rabbit::kill).await;
            sleep(lasts).await;
            servers.with_node(node, devstack::Rabbit::start).await?;
        }
        Kind::RestartNode => {
            servers.with_node(node, devstack::Rabbit::stop).await;
            sleep(lasts).await;
            servers.with_node(node, devstack::Rabbit::start).await?;
        }
        Kind::FreezeNode => {
            servers.with_node(node, devstack::Rabbit::suspend).await?;
            sleep(lasts).await;
            servers.with_node(node, devstack::Rabbit::resume).await;
        }
        Kind::CutNode => {
            servers.links_of(node).for_each(|link| link.set(Mode::Cut));
            sleep(lasts).await;
            servers.links_of(node).for_each(|link| link.set(Mode::Open));
        }
        Kind::KillTwoNodes => {
            let other = (node + 1) % servers.nodes();
            servers.with_node(node, devstack::Rabbit::kill).await;
            servers.with_node(other, devstack::Rabbit::kill).await;
            sleep(lasts).await;
            // At the same time: each may wait for the other.
            let start = |place| servers.with_node(place, devstack::Rabbit::start);
            tokio::try_join!(start(node), start(other))?;
        }
        _ => databases(fault.kind, world, lasts).await?,
    }
    Ok(())
}

async fn databases(kind: Kind, world: &World, lasts: Duration) -> Result<(), devstack::Error> {
    let servers = &world.servers;
    match kind {
        Kind::LosePrimary => {
            servers
                .with_pair(|primary, standby| {
                    primary.kill();
                    standby.promote()
                })
                .await?;
            servers.swap_roles();
            world.to_database.iter().for_each(|proxy| proxy.lead_to(servers.database_address()));
            sleep(lasts).await;
            servers
                .with_pair(|primary, lost| {
                    lost.follow(primary, STANDBY)?;
                    primary.wait_for_each_commit_on(STANDBY)
                })
                .await
        }
        Kind::KillStandby => {
            servers.with_pair(|_, standby| standby.kill()).await;
            sleep(lasts).await;
            standby_returns(servers).await
        }
        _ => {
            servers
                .with_pair(|primary, standby| {
                    standby.kill();
                    primary.set("synchronous_standby_names", "")
                })
                .await?;
            sleep(lasts).await;
            standby_returns(servers).await
        }
    }
}

/// Starts the standby and waits until every commit is on it again.
async fn standby_returns(servers: &Servers) -> Result<(), devstack::Error> {
    servers
        .with_pair(|primary, standby| {
            standby.start()?;
            primary.wait_for_each_commit_on(STANDBY)
        })
        .await
}
