//! What was measured on: the machine, the versions, the settings that matter for durability.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use devstack::Stack;
use serde::{Deserialize, Serialize};

/// PostgreSQL's settings that a figure depends on.
const SETTINGS: [&str; 13] = [
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_level",
    "wal_sync_method",
    "wal_compression",
    "shared_buffers",
    "huge_pages",
    "wal_buffers",
    "max_wal_size",
    "checkpoint_timeout",
    "autovacuum",
    "jit",
];

const OWN_SETTINGS: [&str; 6] = [
    "broker.prefetch",
    "database.pool_size",
    "engine.max_batch_commands",
    "engine.max_batch_bytes",
    "engine.cached_wallets",
    "events.enabled",
];

/// Facts by name, in the order in which they are shown.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) machine: Vec<(String, String)>,
    pub(crate) versions: Vec<(String, String)>,
    pub(crate) settings: Vec<(String, String)>,
}

/// Collects them. What cannot be found out is reported as such.
pub(crate) fn collect(stack: &Stack, florin: &Path) -> Facts {
    let fact =
        |name: &str, value: Option<String>| (name.to_owned(), value.unwrap_or_else(|| "unknown".into()));
    let cores = std::thread::available_parallelism().ok().map(|cores| cores.to_string());
    let machine = vec![
        fact("CPU", cpu_model()),
        fact("cores", cores),
        fact("memory", memory_kib().map(|kib| format!("{:.1} GiB", kib as f64 / 1024.0 / 1024.0))),
        fact("huge pages reserved", huge_pages()),
        fact("kernel", read("/proc/sys/kernel/osrelease")),
        fact("system", os_name()),
        fact("disk of the servers", disk(stack.postgres.folder())),
        fact("load before the run", read("/proc/loadavg")),
    ];
    let postgres = stack.postgres.psql("postgres", "SHOW server_version").ok();
    let versions = vec![
        fact("Florin", commit()),
        fact("florin", output(Command::new(florin).arg("--version"))),
        fact("built", Some(profile(florin).to_owned())),
        fact("rustc", output(Command::new("rustc").arg("--version"))),
        fact("PostgreSQL", postgres),
        fact("RabbitMQ", stack.rabbit.ctl(&["version"]).ok()),
    ];
    let setting = |name: &&str| {
        let value = stack.postgres.psql("postgres", &format!("SHOW {name}")).ok();
        fact(&format!("PostgreSQL {name}"), value)
    };
    let own = own_settings(florin).unwrap_or_default();
    let own = OWN_SETTINGS.iter().map(|name| fact(&format!("florin {name}"), own.get(*name).cloned()));
    Facts { machine, versions, settings: SETTINGS.iter().map(setting).chain(own).collect() }
}

/// The settings of the service by their full names, as `florin config` prints them when nothing is set.
pub(crate) fn own_settings(florin: &Path) -> Option<BTreeMap<String, String>> {
    let printed = output(Command::new(florin).arg("config").env_clear().current_dir("/"))?;
    Some(settings_of(&printed))
}

/// Of lines `name = value`, each below its `[section]`.
fn settings_of(toml: &str) -> BTreeMap<String, String> {
    let mut section = "";
    let mut settings = BTreeMap::new();
    for line in toml.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else if let Some((name, value)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            settings.insert(format!("{section}.{name}"), value.to_owned());
        }
    }
    settings
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The commit of the source tree, and whether the tree was changed since.
fn commit() -> Option<String> {
    let hash = output(Command::new("git").args(["rev-parse", "--short=12", "HEAD"]))?;
    let changed = output(Command::new("git").args(["status", "--porcelain", "--untracked-files=no"]))?;
    Some(if changed.is_empty() { hash } else { format!("{hash}, with changes") })
}

/// Figures of a debug build are worth nothing, so the report names the profile.
fn profile(florin: &Path) -> &'static str {
    let release = florin.parent().is_some_and(|folder| folder.ends_with("release"));
    if release { "release" } else { "not in the folder of release builds" }
}

fn cpu_model() -> Option<String> {
    let text = read("/proc/cpuinfo")?;
    value_of(&text, "model name").or_else(|| value_of(&text, "Model"))
}

pub(crate) fn memory_kib() -> Option<u64> {
    let text = read("/proc/meminfo")?;
    value_of(&text, "MemTotal")?.trim_end_matches(" kB").parse().ok()
}

/// PostgreSQL takes its shared buffers from them if they are enough.
fn huge_pages() -> Option<String> {
    let text = read("/proc/meminfo")?;
    Some(format!("{} of {}", value_of(&text, "HugePages_Total")?, value_of(&text, "Hugepagesize")?))
}

fn os_name() -> Option<String> {
    let text = read("/etc/os-release")?;
    let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(line.trim_matches('"').to_owned())
}

/// The value of a line `name : value`.
fn value_of(text: &str, name: &str) -> Option<String> {
    let parts = text.lines().filter_map(|line| line.split_once(':'));
    parts.into_iter().find(|(own, _)| own.trim() == name).map(|(_, value)| value.trim().to_owned())
}

/// The file system that holds the folder, and its device.
fn disk(folder: &Path) -> Option<String> {
    let mounts = read("/proc/self/mounts")?;
    let (device, kind, options) = mount_of(&mounts, folder)?;
    let block = Path::new(device).file_name()?.to_string_lossy().into_owned();
    let turns = match read(&format!("/sys/block/{block}/queue/rotational")).as_deref() {
        Some("0") => ", not rotating",
        Some("1") => ", rotating or virtual",
        _ => "",
    };
    Some(format!("{device}, {kind} ({options}){turns}"))
}

/// Device, type and options of the mount with the longest path that holds the folder.
fn mount_of<'a>(mounts: &'a str, folder: &Path) -> Option<(&'a str, &'a str, &'a str)> {
    let mount = |line: &'a str| {
        let mut fields = line.split_whitespace();
        Some((fields.next()?, fields.next()?, fields.next()?, fields.next()?))
    };
    let holding = mounts.lines().filter_map(mount).filter(|(_, point, ..)| folder.starts_with(point));
    // Of two on the same point the later one is seen.
    let (device, _, kind, options) = holding.max_by_key(|(_, point, ..)| point.len())?;
    Some((device, kind, options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_of_a_folder_is_found() {
        let mounts = "/dev/a / ext4 rw 0 0\nproc /proc proc rw 0 0\ntmpfs /tmp tmpfs rw,size=1 0 0\n";
        assert_eq!(mount_of(mounts, Path::new("/tmp/x")), Some(("tmpfs", "tmpfs", "rw,size=1")));
        assert_eq!(mount_of(mounts, Path::new("/tmpx")), Some(("/dev/a", "ext4", "rw")));
        assert_eq!(mount_of("", Path::new("/")), None);
    }

    #[test]
    fn settings_have_the_names_of_their_sections() {
        let settings = settings_of("# a = b\n[broker]\nprefetch = 7\n\n[engine]\nx = \"y\"\n");
        assert_eq!(settings["broker.prefetch"], "7");
        assert_eq!(settings["engine.x"], "\"y\"");
        assert_eq!(settings.len(), 2);
    }

    #[test]
    fn values_are_found_by_their_names() {
        let text = "processor\t: 0\nmodel name\t: A CPU: fast\n";
        assert_eq!(value_of(text, "model name").as_deref(), Some("A CPU: fast"));
        assert_eq!(value_of(text, "flags"), None);
    }
}
