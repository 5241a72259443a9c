//! Finds the installed programs: the places of Debian and Homebrew first, then `PATH`.
//!
//! `DEVSTACK_POSTGRES_BIN` and `DEVSTACK_RABBITMQ_BIN` name a folder that wins over all of them, to
//! run the tests against another version. `scripts/setup.sh` looks in the same places.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::Error;

/// Folders that hold a program even when `PATH` of the caller does not name them.
const EXTRA_PATH: [&str; 7] = [
    "/opt/homebrew/bin",
    "/opt/homebrew/sbin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/usr/bin",
    "/bin",
    "/usr/lib/erlang/bin",
];

/// The folder with `postgres`, `initdb` and `psql`, of the highest version there is.
pub(crate) fn postgres_dir() -> Result<PathBuf, Error> {
    let mut places = vec![];
    places.extend(env::var_os("DEVSTACK_POSTGRES_BIN").map(PathBuf::from));
    places.extend(versions("/usr/lib/postgresql", ""));
    places.extend(versions("/opt/homebrew/opt", "postgresql@"));
    places.extend(versions("/usr/local/opt", "postgresql@"));
    places.extend(search_path());
    find("postgres", "initdb", "PostgreSQL 13 or newer", &places)
}

/// The folder with `rabbitmq-server` and `rabbitmqctl`.
///
/// Debian's files of the same names in `/usr/sbin` switch to a system user and so come last.
pub(crate) fn rabbitmq_dir() -> Result<PathBuf, Error> {
    let mut places = vec![];
    places.extend(env::var_os("DEVSTACK_RABBITMQ_BIN").map(PathBuf::from));
    places.extend(["/usr/lib/rabbitmq/bin", "/opt/homebrew/sbin", "/usr/local/sbin"].map(Into::into));
    places.extend(search_path());
    find("rabbitmq-server", "rabbitmqctl", "RabbitMQ 3.10 or newer", &places)
}

pub(crate) fn epmd() -> Result<PathBuf, Error> {
    Ok(find("epmd", "erl", "Erlang (it comes with RabbitMQ)", &search_path())?.join("epmd"))
}

/// `PATH` for the servers: that of the caller and the usual places.
pub(crate) fn path_variable() -> OsString {
    // A folder with a colon in its name cannot be on a PATH: then the usual places alone must do.
    env::join_paths(search_path()).unwrap_or_else(|_| EXTRA_PATH.join(":").into())
}

fn search_path() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = env::split_paths(&path).filter(|place| place.is_absolute()).collect();
    places.extend(EXTRA_PATH.map(PathBuf::from));
    places
}

/// `parent/<prefix><version>/bin`, the highest version first.
fn versions(parent: &str, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = Path::new(parent).read_dir() else {
        return vec![];
    };
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?.split('.').next()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, path)| path).collect()
}

fn find(
    program: &'static str,
    companion: &str,
    package: &'static str,
    places: &[PathBuf],
) -> Result<PathBuf, Error> {
    let holds_both = |place: &&PathBuf| place.join(program).is_file() && place.join(companion).is_file();
    places.iter().find(holds_both).cloned().ok_or_else(|| Error::Missing {
        program,
        package,
        looked: format!("looked for it and {companion} in {}", list(places)),
    })
}

fn list(places: &[PathBuf]) -> String {
    let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
    places.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_says_what_to_install() {
        let error = find("no-such-program", "initdb", "SomeServer", &search_path()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("make setup") && text.contains("SomeServer"), "{text}");
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["postgresql@9.6", "postgresql@17", "postgresql@13", "other"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let found = versions(dir.path().to_str().unwrap(), "postgresql@");
        let expected = ["17", "13", "9.6"].map(|v| dir.path().join(format!("postgresql@{v}/bin")));
        assert_eq!(found, expected);
    }
}
