//! One instance of the service: a process that is restarted whenever it exits, unless it was asked to stop.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use devstack::{Error, Program};
use tokio_util::sync::CancellationToken;

/// How often the process is checked.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Clone)]
pub struct Service {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    environment: Vec<(String, String)>,
    process: Mutex<Kept>,
    /// How often it ended by itself.
    ended: AtomicU32,
}

#[derive(Debug)]
struct Kept {
    program: Program,
    wanted: bool,
}

impl Service {
    /// An instance that does not run yet.
    pub fn new(florin: &Path, environment: Vec<(String, String)>) -> Result<Self, Error> {
        let program = Program::new("service", florin)?;
        let process = Mutex::new(Kept { program, wanted: false });
        Ok(Self { shared: Arc::new(Shared { environment, process, ended: AtomicU32::default() }) })
    }

    /// Starts it, and from now on starts it again whenever it ends.
    pub fn start(&self) -> Result<(), Error> {
        let mut kept = self.kept();
        kept.wanted = true;
        self.start_again(&mut kept)
    }

    /// Kills it. It stays away until it is started.
    pub fn kill(&self) {
        let mut kept = self.kept();
        kept.wanted = false;
        kept.program.kill();
    }

    /// Stops it and waits. It stays down until it is started.
    pub fn stop(&self) {
        let mut kept = self.kept();
        kept.wanted = false;
        kept.program.stop();
    }

    pub fn suspend(&self) -> Result<(), Error> {
        self.kept().program.suspend()
    }

    pub fn resume(&self) {
        self.kept().program.resume();
    }

    #[must_use]
    pub fn log(&self) -> std::path::PathBuf {
        self.kept().program.log()
    }

    /// How often it exited by itself.
    #[must_use]
    pub fn ended(&self) -> u32 {
        self.shared.ended.load(Ordering::Relaxed)
    }

    /// Starts it again whenever it ends, until `stop`.
    pub async fn watch(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            let service = self.clone();
            // The lock may be held for long, while the process is asked to end.
            let looked = tokio::task::spawn_blocking(move || {
                let mut kept = service.kept();
                if kept.wanted && !kept.program.runs() {
                    service.shared.ended.fetch_add(1, Ordering::Relaxed);
                    if let Err(error) = service.start_again(&mut kept) {
                        tracing::error!(%error, "the service cannot be started");
                    }
                }
            });
            if looked.await.is_err() {
                return;
            }
        }
    }

    fn start_again(&self, kept: &mut Kept) -> Result<(), Error> {
        let environment = &self.shared.environment;
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        kept.program.start(&["serve".to_owned()], &environment)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.shared.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
