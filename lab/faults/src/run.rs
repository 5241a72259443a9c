//! A whole run: from the schedule to the verdict.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::check::check;
use crate::kind::Kind;
use crate::load::{Load, Pulse};
use crate::plan::Plan;
use crate::record::Records;
use crate::report::{self, Counts, Report};
use crate::scratch::Scratch;
use crate::service::Service;
use crate::world::{self, Setup, World};
use crate::{collect, inject, supervisor};

/// How long requests may take to be answered once all faults are over.
const KNOWN_LIMIT: Duration = Duration::from_secs(120);

/// Why a run has no verdict.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The servers or the service did not start.
    #[error(transparent)]
    World(#[from] world::Error),
    #[error(transparent)]
    Collect(#[from] collect::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Runs a schedule, writes all files into the folder, and checks them.
///
/// When this is dropped before its end, all that it started ends.
pub async fn run(
    plan: &Plan,
    setup: &Setup,
    skipped: &[(Kind, String)],
    folder: &Path,
) -> Result<Report, Error> {
    plan.write(folder)?;
    let reaping = CancellationToken::new();
    let _stop_reaping = reaping.clone().drop_guard();
    tokio::spawn(supervisor::reap(reaping));
    let scratch = Scratch::new("florin-faults-disks-")?;
    let world = Arc::new(World::start(setup, &plan.settings, scratch.path()).await?);
    let (load, happened, drained, services_ended) = {
        let outcome = under_load(plan, &world, folder).await;
        // What the processes say is wanted most when this failed.
        world.copy_logs(folder);
        outcome?
    };
    // Ends all servers.
    drop(world);
    drop(scratch);
    let records = Records::read(folder)?;
    let verdict = check(&records);
    let report = Report {
        seed: plan.settings.seed,
        seconds: plan.settings.seconds,
        clean: verdict.is_clean() && drained,
        skipped: skipped.iter().map(|(kind, why)| format!("{}: {why}", kind.name())).collect(),
        faults: report::by_kind(&happened),
        load,
        services_ended,
        drained,
        verdict,
    };
    std::fs::write(folder.join(report::FILE), serde_json::to_vec_pretty(&report).map_err(io::Error::from)?)?;
    Ok(report)
}

async fn under_load(
    plan: &Plan,
    world: &Arc<World>,
    folder: &Path,
) -> Result<(Counts, Vec<inject::Happened>, bool, u32), Error> {
    collect::listen(world.servers.amqp_url()).await?;
    let start = Instant::now();
    let load = Load::start(&plan.settings, &world.clients_url(), world.http, folder, start)?;
    let pulse = Arc::clone(&load.pulse);
    let happened = inject::run(plan, world, &pulse, start).await;
    inject::write(folder, &happened)?;
    tokio::time::sleep_until((start + Duration::from_secs(plan.settings.seconds)).into()).await;
    inject::heal(world).await;
    load.finish(KNOWN_LIMIT).await;
    let drained = collect::drain(world).await?;
    let services_ended = world.services.iter().map(Service::ended).sum();
    collect::collect(world, plan.settings.clients, folder, start).await?;
    Ok((counts(&pulse), happened, drained, services_ended))
}

fn counts(pulse: &Pulse) -> Counts {
    Counts {
        requests: pulse.requests.load(Ordering::Relaxed),
        answers: pulse.answers.load(Ordering::Relaxed),
        unknown: pulse.unknown.load(Ordering::Relaxed),
        resolved: pulse.resolved.load(Ordering::Relaxed),
    }
}
