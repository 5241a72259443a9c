//! Injects the faults of a schedule, each at its time.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};

use crate::kind::{Kind, Topology};
use crate::limits::{self, Alarm, Crowd};
use crate::load::Pulse;
use crate::plan::{Fault, Plan};
use crate::proxy::{Mode, Proxy};
use crate::world::{Error as WorldError, World};
use crate::{clock, collect, disk, nodes};

/// The name of the record of the faults in the folder of a run.
pub const FILE: &str = "faults.jsonl";
/// How long to wait for the first answer after a fault.
const RECOVERY_LIMIT: Duration = Duration::from_secs(60);
/// How long connections stay open between two cuts.
const CUT_EVERY: Duration = Duration::from_millis(400);
/// What a full disk has left: nothing, but for what a file system needs.
const LEFT_BYTES: u64 = 0;
/// RabbitMQ must have its alarm: on a disk that is truly full, 3.10 loses queues.
const BROKER_LEFT_BYTES: u64 = 40 << 20;
/// Retries of a server that does not start.
const STARTS: u32 = 3;
/// How long PostgreSQL may take to begin another segment of its log.
const SWITCH_LIMIT: Duration = Duration::from_secs(5);

/// Why a fault was not injected as planned.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Server(#[from] devstack::Error),
    #[error(transparent)]
    Disk(#[from] disk::Error),
    #[error(transparent)]
    Clock(#[from] clock::Error),
    #[error(transparent)]
    Limit(#[from] limits::Error),
    #[error(transparent)]
    World(#[from] WorldError),
    #[error("there are no disks of their own")]
    NoDisks,
    #[error("there are no clocks of their own")]
    NoClocks,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Happened {
    #[serde(flatten)]
    pub fault: Fault,
    pub began_ms: u64,
    /// Its end; its beginning if others take over meanwhile.
    pub healed_ms: u64,
    /// How long after that the first request was answered that had been sent after it. None when there was
    /// none in time.
    pub recovery_ms: Option<u64>,
    /// Whether another fault began before that answer: then this is not the recovery time of this fault alone.
    pub disturbed: bool,
    /// Why it was not injected as planned.
    pub failed: Option<String>,
}

/// Injects all faults, and returns the outcomes.
pub async fn run(plan: &Plan, world: &Arc<World>, pulse: &Arc<Pulse>, start: Instant) -> Vec<Happened> {
    let mut running = JoinSet::new();
    let begun = Arc::new(AtomicU32::new(0));
    for fault in plan.faults.clone() {
        sleep_until((start + Duration::from_millis(fault.at_ms)).into()).await;
        tracing::info!(
            number = fault.number,
            kind = fault.kind.name(),
            for_ms = fault.for_ms,
            instances = ?fault.instances,
            amount = fault.amount,
            "fault"
        );
        let (world, pulse, begun) = (Arc::clone(world), Arc::clone(pulse), Arc::clone(&begun));
        running.spawn(async move {
            let _turn = nodes::turn(fault.kind, &world.servers).await;
            let mine = begun.fetch_add(1, Ordering::SeqCst) + 1;
            let began = Instant::now();
            let recovers = async |from| {
                let recovery = pulse.answer_after(from, RECOVERY_LIMIT).await;
                (recovery.map(millis), begun.load(Ordering::SeqCst) != mine)
            };
            let injected = one(&fault, &world, &pulse);
            let (result, healed, (recovery_ms, disturbed)) = if fault.kind.is_replaced() {
                let (result, recovery) = tokio::join!(injected, recovers(began));
                (result, began, recovery)
            } else {
                let (result, healed) = (injected.await, Instant::now());
                (result, healed, recovers(healed).await)
            };
            let [began_ms, healed_ms] = [began, healed].map(|moment| millis(moment.duration_since(start)));
            let failed = result.err().map(|error| error.to_string());
            if let Some(failed) = &failed {
                tracing::warn!(number = fault.number, kind = fault.kind.name(), failed, "fault failed");
            }
            Happened { fault, began_ms, healed_ms, recovery_ms, disturbed, failed }
        });
    }
    let mut happened = running.join_all().await;
    happened.sort_by_key(|happened| happened.fault.number);
    happened
}

/// Writes the record of the faults.
pub fn write(folder: &Path, happened: &[Happened]) -> std::io::Result<()> {
    crate::files::write_lines(&folder.join(FILE), happened)
}

/// Undoes whatever a fault may have left, so that the run can finish.
pub async fn heal(world: &World) {
    let wires = world.to_database.iter().chain(&world.to_broker).chain([&world.to_clients]);
    for proxy in wires.chain(world.servers.links()) {
        proxy.set(Mode::Open);
    }
    if let Some(disks) = &world.servers.disks {
        for disk in [&disks.data, &disks.wal, &disks.broker] {
            if let Err(error) = disk.free() {
                tracing::warn!(%error, "a disk stays full");
            }
        }
    }
    for clock in world.clocks.iter().flatten() {
        if let Err(error) = clock.step(0) {
            tracing::warn!(%error, "a clock stays wrong");
        }
    }
    for service in &world.services {
        service.resume();
        if let Err(error) = service.start() {
            tracing::error!(%error, "the service cannot be started");
        }
    }
    let started = world.servers.with_primary(|postgres| {
        postgres.resume();
        postgres.start()
    });
    if let Err(error) = started.await {
        tracing::error!(%error, "PostgreSQL cannot be started");
    }
    let nodes = (0..world.servers.nodes()).map(|place| {
        world.servers.with_node(place, |rabbit| {
            rabbit.resume();
            rabbit.start()
        })
    });
    for started in futures_util::future::join_all(nodes).await {
        if let Err(error) = started {
            tracing::error!(%error, "RabbitMQ cannot be started");
        }
    }
}

/// One fault, from its beginning to its end.
async fn one(fault: &Fault, world: &World, pulse: &Pulse) -> Result<(), Error> {
    let lasts = Duration::from_millis(fault.for_ms);
    let places = fault.instances.places();
    match fault.kind {
        Kind::KillService | Kind::FreezeService | Kind::Deploy => return instances(fault, world).await,
        Kind::KillPostgres => {
            world.servers.with_primary(devstack::Postgres::kill).await;
            sleep(lasts).await;
            start_postgres(world).await?;
        }
        Kind::KillRabbitmq => {
            world.servers.with_node(0, devstack::Rabbit::kill).await;
            sleep(lasts).await;
            start_rabbit(world).await?;
        }
        Kind::FreezePostgres => {
            world.servers.with_primary(devstack::Postgres::suspend).await?;
            sleep(lasts).await;
            world.servers.with_primary(devstack::Postgres::resume).await;
        }
        Kind::FreezeRabbitmq => {
            world.servers.with_node(0, devstack::Rabbit::suspend).await?;
            sleep(lasts).await;
            world.servers.with_node(0, devstack::Rabbit::resume).await;
        }
        Kind::CommitInDoubt | Kind::CommitLost => {
            let mode =
                if fault.kind == Kind::CommitLost { Mode::CutBeforeCommit } else { Mode::CutAfterCommit };
            armed(places.iter().map(|place| &world.to_database[*place]), mode, lasts).await;
        }
        Kind::CutAfterSend => armed([&world.to_clients].into_iter(), Mode::CutAfterPublish, lasts).await,
        Kind::Copies => pulse.send_copies(),
        Kind::Redelivery => {
            let end = Instant::now() + lasts;
            while Instant::now() < end {
                for place in places {
                    world.to_broker[*place].set(Mode::Cut);
                    world.to_broker[*place].set(Mode::Open);
                }
                sleep(CUT_EVERY).await;
            }
        }
        Kind::MemoryAlarm => Alarm::Memory.sound(world, lasts).await?,
        Kind::DiskAlarm => Alarm::Disk.sound(world, lasts).await?,
        Kind::ConnectionLimit => {
            let crowd = Crowd::gather(world.servers.database_url()).await?;
            sleep(lasts).await;
            drop(crowd);
        }
        Kind::ClockStep => {
            let clocks = world.clocks.as_ref().ok_or(Error::NoClocks)?;
            each(places, |place| clocks[place].step(fault.amount))?;
            sleep(lasts).await;
            each(places, |place| clocks[place].step(0))?;
        }
        Kind::DataDiskFull
        | Kind::WalDiskFull
        | Kind::BrokerDiskFull
        | Kind::PostgresPowerCut
        | Kind::RabbitmqPowerCut => disks(fault.kind, world, lasts).await?,
        kind if !kind.fits(Topology::Single) => nodes::one(fault, world).await?,
        _ => wires(fault, world, lasts).await,
    }
    Ok(())
}

/// Faults of instances of the service.
async fn instances(fault: &Fault, world: &World) -> Result<(), Error> {
    let mut together = JoinSet::new();
    let lasts = Duration::from_millis(fault.for_ms);
    for place in fault.instances.places() {
        let (service, kind) = (world.services[*place].clone(), fault.kind);
        together.spawn_blocking(move || -> Result<(), devstack::Error> {
            match kind {
                Kind::KillService => service.kill(),
                Kind::FreezeService => {
                    service.suspend()?;
                    std::thread::sleep(lasts);
                    service.resume();
                    return Ok(());
                }
                _ => service.stop(),
            }
            std::thread::sleep(lasts);
            service.start()
        });
    }
    for result in together.join_all().await {
        result?;
    }
    Ok(())
}

/// Connections that are cut, delayed, throttled or silent.
async fn wires(fault: &Fault, world: &World, lasts: Duration) {
    use Kind::{
        CutBroker, CutClients, CutDatabase, DelayBroker, DelayClients, DelayDatabase, SilenceBroker,
        SilenceClients, SilenceDatabase,
    };
    let amount = fault.amount.unsigned_abs();
    let mode = match fault.kind {
        CutDatabase | CutBroker | CutClients => Mode::Cut,
        DelayDatabase | DelayBroker | DelayClients => Mode::Delay(Duration::from_millis(amount)),
        SilenceDatabase | SilenceBroker | SilenceClients => Mode::BlackHole,
        _ => Mode::Throttle { bytes_per_sec: u32::try_from(amount).unwrap_or(u32::MAX) },
    };
    let all = match fault.kind {
        CutDatabase | DelayDatabase | SilenceDatabase | Kind::ThrottleDatabase => Some(&world.to_database),
        CutBroker | DelayBroker | SilenceBroker | Kind::ThrottleBroker => Some(&world.to_broker),
        _ => None,
    };
    let proxies: Vec<&Proxy> = match all {
        Some(all) => fault.instances.places().iter().map(|place| &all[*place]).collect(),
        None => vec![&world.to_clients],
    };
    proxies.iter().for_each(|proxy| proxy.set(mode));
    sleep(lasts).await;
    proxies.iter().for_each(|proxy| proxy.set(Mode::Open));
}

/// Cuts at the chosen moment, again and again until the time is over.
async fn armed<'a>(proxies: impl Iterator<Item = &'a Proxy>, mode: Mode, lasts: Duration) {
    let end = Instant::now() + lasts;
    let proxies: Vec<&Proxy> = proxies.collect();
    while Instant::now() < end {
        proxies.iter().for_each(|proxy| proxy.set(mode));
        let moments = proxies.iter().map(|proxy| proxy.until_open());
        // A standby commits nothing, so this never happens on it.
        let _ = timeout(CUT_EVERY, futures_util::future::join_all(moments)).await;
    }
    proxies.iter().for_each(|proxy| proxy.set(Mode::Open));
}

async fn disks(kind: Kind, world: &World, lasts: Duration) -> Result<(), Error> {
    let disks = world.servers.disks.as_ref().ok_or(Error::NoDisks)?;
    match kind {
        Kind::DataDiskFull | Kind::WalDiskFull => {
            let disk = if kind == Kind::DataDiskFull { &disks.data } else { &disks.wal };
            disk.fill(LEFT_BYTES)?;
            if kind == Kind::WalDiskFull {
                // The segment at hand has room for many seconds. The next one has none, and PostgreSQL ends
                // itself: so this may fail, too. Or another fault has frozen PostgreSQL: then it has no end.
                let _ = timeout(SWITCH_LIMIT, collect::switch_wal(world.servers.database_url())).await;
            }
            sleep(lasts).await;
            disk.free()?;
            start_postgres(world).await?;
        }
        Kind::BrokerDiskFull => {
            disks.broker.fill(BROKER_LEFT_BYTES)?;
            sleep(lasts).await;
            disks.broker.free()?;
            start_rabbit(world).await?;
        }
        Kind::PostgresPowerCut => {
            disks.wal.cut_power()?;
            disks.data.cut_power()?;
            world.servers.with_primary(devstack::Postgres::kill).await;
            sleep(lasts).await;
            disks.data.restore()?;
            disks.wal.restore()?;
            world.servers.with_primary(|postgres| remove_empty_lock(postgres.folder())).await;
            start_postgres(world).await?;
        }
        _ => {
            disks.broker.cut_power()?;
            world.servers.with_node(0, devstack::Rabbit::kill).await;
            sleep(lasts).await;
            disks.broker.restore()?;
            start_rabbit(world).await?;
        }
    }
    Ok(())
}

/// The lock file of a PostgreSQL that never flushes comes back empty, and it does not start over that.
fn remove_empty_lock(folder: &Path) {
    let lock = folder.join("data/postmaster.pid");
    if std::fs::metadata(&lock).is_ok_and(|found| found.len() == 0) {
        // If it stays, the start fails with the reason.
        let _ = std::fs::remove_file(lock);
    }
}

/// On a busy machine a start may take longer than devstack waits.
async fn start_postgres(world: &World) -> Result<(), Error> {
    let start = |postgres: &mut devstack::Postgres| {
        let tries = (1..STARTS).find_map(|_| postgres.start().ok());
        tries.map_or_else(|| postgres.start(), Ok)
    };
    Ok(world.servers.with_primary(start).await?)
}

async fn start_rabbit(world: &World) -> Result<(), Error> {
    let start = |rabbit: &mut devstack::Rabbit| {
        let tries = (1..STARTS).find_map(|_| rabbit.start().ok());
        tries.map_or_else(|| rabbit.start(), Ok)
    };
    Ok(world.servers.with_node(0, start).await?)
}

fn each<E>(places: &[usize], action: impl Fn(usize) -> Result<(), E>) -> Result<(), E> {
    places.iter().copied().try_for_each(action)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The kinds that can happen to such servers, and why the others cannot.
#[must_use]
pub fn possible(topology: Topology, wanted: &BTreeSet<Kind>) -> (BTreeSet<Kind>, Vec<(Kind, String)>) {
    let why_not = |kind: Kind| match kind {
        kind if !kind.fits(topology) => Some("there are no such servers".to_owned()),
        Kind::ClockStep => clock::Clock::available().err().map(|error| error.to_string()),
        kind if kind.needs_disks() => disk::LoopDisk::available().err().map(|error| error.to_string()),
        _ => None,
    };
    let mut skipped = Vec::new();
    let possible = wanted.iter().copied().filter(|kind| match why_not(*kind) {
        None => true,
        Some(why) => {
            skipped.push((*kind, why));
            false
        }
    });
    (possible.collect(), skipped)
}
