//! Ctrl-C and SIGTERM: the first asks the service to finish, the second ends it at once. SIGHUP never ends it.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What a shell reports for a process that Ctrl-C ended.
pub const INTERRUPTED: i32 = 130;

/// A token that the first signal cancels.
pub fn shutdown_token() -> anyhow::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let token = CancellationToken::new();
    let shutdown = token.clone();
    tokio::spawn(async move {
        next(&mut interrupt, &mut terminate).await;
        tracing::info!("stopping: requests in flight are finished first; a second signal stops at once");
        shutdown.cancel();
        next(&mut interrupt, &mut terminate).await;
        // Nothing is lost: what was not acknowledged stays with the broker.
        std::process::exit(INTERRUPTED);
    });
    Ok(token)
}

/// From now on SIGHUP does not end this process. HTTP with certificates watches for it as well, and reads them again.
pub fn outlive_hangups(has_certificates: bool) -> anyhow::Result<()> {
    let mut hangups = signal(SignalKind::hangup()).context("cannot watch for SIGHUP")?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            if !has_certificates {
                tracing::info!(
                    "SIGHUP ignored: HTTP has no certificates to read again, settings are read at the start"
                );
            }
        }
    });
    Ok(())
}

/// Watches from now on; what is returned resolves at the first signal.
pub fn interruption() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    Ok(async move { next(&mut interrupt, &mut terminate).await })
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
