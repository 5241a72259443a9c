//! A second PostgreSQL that follows the first, and can take its place.

use std::fs;
use std::time::Duration;

use crate::error::{Doing, Error, plain_name};
use crate::postgres::{Postgres, words};
use crate::wait::wait_until;
use crate::{Options, USER};

/// How long a standby may take to follow, or to become a primary.
const FOLLOW_LIMIT: Duration = Duration::from_secs(60);

impl Postgres {
    /// Starts a standby of this server in a temporary folder, under a name that `synchronous_standby_names` can
    /// have. Returns when it receives what this one writes.
    pub fn launch_standby(&self, name: &str) -> Result<Self, Error> {
        let options = Options { postgres_settings: self.settings().to_vec(), ..Options::default() };
        let mut standby = Self::prepare(&options)?;
        standby.copy_of(self, name)?;
        standby.start_on_a_port(&options)?;
        self.wait_followed(name)?;
        Ok(standby)
    }

    /// Makes this server, which does not run, a standby of that one: with a copy of its data, for what was written
    /// here after that one was promoted must not come back.
    pub fn follow(&mut self, primary: &Self, name: &str) -> Result<(), Error> {
        let data = self.data();
        fs::remove_dir_all(&data).doing(|| format!("remove {}", data.display()))?;
        self.copy_of(primary, name)?;
        self.start()?;
        primary.wait_followed(name)
    }

    /// Makes a standby a primary. Its former primary must have ended, and must not be started again but by
    /// [`Postgres::follow`].
    pub fn promote(&self) -> Result<(), Error> {
        let wait = format!("SELECT pg_promote(true, {})", FOLLOW_LIMIT.as_secs());
        match self.psql("postgres", &wait)?.as_str() {
            "t" => Ok(()),
            _ => Err(self.server.failed("it was not promoted in time".into())),
        }
    }

    /// Changes a setting of the running server, without a restart.
    pub fn set(&self, setting: &str, value: &str) -> Result<(), Error> {
        self.psql("postgres", &format!("ALTER SYSTEM SET {setting} = '{value}'"))?;
        self.psql("postgres", "SELECT pg_reload_conf()")?;
        Ok(())
    }

    /// Waits until commits wait for the standby of this name.
    pub fn wait_for_each_commit_on(&self, name: &str) -> Result<(), Error> {
        self.set("synchronous_standby_names", name)?;
        self.wait_for(name, "sync_state = 'sync'")
    }

    fn wait_followed(&self, name: &str) -> Result<(), Error> {
        self.wait_for(name, "state = 'streaming'")
    }

    fn wait_for(&self, name: &str, condition: &str) -> Result<(), Error> {
        let name = plain_name(name)?;
        let question =
            format!("SELECT 1 FROM pg_stat_replication WHERE application_name = '{name}' AND {condition}");
        let mut answer = Ok(String::new());
        wait_until(FOLLOW_LIMIT, || {
            answer = self.psql("postgres", &question);
            answer.as_ref().map_or(true, |found| !found.is_empty())
        });
        match answer?.as_str() {
            "" => Err(self.server.failed(format!("there is no standby {name} with {condition}"))),
            _ => Ok(()),
        }
    }

    /// A copy of the data, and the settings to follow. What the primary still needs to keep for it is in a slot.
    fn copy_of(&mut self, primary: &Self, name: &str) -> Result<(), Error> {
        let name = plain_name(name)?;
        let slot = name.replace('-', "_");
        let unused = format!(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{slot}'"
        );
        primary.psql("postgres", &unused)?;
        let from = format!("host=127.0.0.1 port={} user={USER} application_name={name}", primary.port());
        let mut arguments = words(&["--checkpoint=fast", "--wal-method=stream", "--create-slot"]);
        arguments.extend(words(&["--write-recovery-conf", "--no-sync", "--slot", &slot, "--dbname", &from]));
        arguments.extend(words(&["--pgdata", &self.data().display().to_string()]));
        let program = self.program("pg_basebackup");
        self.server.prepare(&program, &arguments)
    }
}
