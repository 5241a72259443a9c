//! What we depend on: licences, sources and versions, checked offline from `cargo metadata`.
//!
//! A stand-in for the parts of `cargo deny` that need no network and no installation.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Licences that ask for little more than attribution.
const ALLOWED_LICENCES: [&str; 12] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// Two versions of these would cost much build time, or give types that do not fit each other.
const SINGLE: [&str; 8] = ["bytes", "hyper", "lapin", "serde", "serde_json", "tokio", "tracing", "uuid"];

/// The packages that are built on this platform. Those of others need not be on this machine.
fn packages() -> Vec<Value> {
    let output = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        let output = command
            .args(arguments)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let platform = output("rustc", &["--print", "host-tuple"]);
    let arguments = ["metadata", "--format-version=1", "--offline", "--locked", "--filter-platform"];
    let text = output(env!("CARGO"), &[&arguments[..], &[platform.trim()]].concat());
    let mut metadata: Value = serde_json::from_str(&text).unwrap();
    match metadata["packages"].take() {
        Value::Array(packages) => packages,
        other => panic!("no packages in {other}"),
    }
}

fn text<'a>(package: &'a Value, field: &str) -> &'a str {
    package[field].as_str().unwrap_or_default()
}

/// Ours have no source: they come from this folder.
fn is_ours(package: &Value) -> bool {
    package["source"].is_null()
}

#[test]
fn every_licence_is_allowed() {
    let refused: Vec<_> = packages()
        .iter()
        .filter(|package| !allowed(text(package, "license")))
        .map(|package| format!("{}: {}", text(package, "name"), package["license"]))
        .collect();
    assert!(refused.is_empty(), "not in ALLOWED_LICENCES: {refused:#?}");
}

#[test]
fn every_source_is_crates_io_or_this_workspace() {
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    for package in packages() {
        if is_ours(&package) {
            assert!(text(&package, "manifest_path").starts_with(workspace), "{}", package["id"]);
        } else {
            assert_eq!(text(&package, "source"), CRATES_IO, "{}", package["id"]);
        }
    }
}

#[test]
fn no_dependency_of_ours_takes_any_version() {
    for package in packages().iter().filter(|package| is_ours(package)) {
        for dependency in package["dependencies"].as_array().unwrap() {
            let local = dependency["path"].is_string();
            assert!(local || text(dependency, "req") != "*", "{}: {dependency}", package["name"]);
        }
    }
}

#[test]
fn central_crates_come_in_one_version() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        let name = text(&package, "name").to_owned();
        versions.entry(name).or_default().insert(text(&package, "version").to_owned());
    }
    for name in SINGLE {
        let count = versions.get(name).map_or(0, BTreeSet::len);
        assert!(count <= 1, "{name}: {:?}; see `cargo tree --invert {name}`", versions[name]);
    }
}

#[test]
fn licence_expressions_are_understood() {
    for yes in ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(GPL-3.0 OR MIT) AND Unicode-3.0"] {
        assert!(allowed(yes), "{yes}");
    }
    for no in ["", "GPL-3.0", "MIT AND GPL-3.0", "MIT AND (GPL-3.0 OR AGPL-3.0)", "(MIT"] {
        assert!(!allowed(no), "{no}");
    }
}

/// Whether an SPDX expression can be met with allowed licences alone: `OR` binds weaker than `AND`.
fn allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    let expression = expression.trim();
    let any = split(expression, " OR ");
    if any.len() > 1 {
        return any.into_iter().any(allowed);
    }
    let all = split(expression, " AND ");
    if all.len() > 1 {
        return all.into_iter().all(allowed);
    }
    match expression.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
        Some(inner) => allowed(inner),
        None => ALLOWED_LICENCES.contains(&expression),
    }
}

/// Splits at a separator that is not in parentheses.
fn split<'a>(expression: &'a str, separator: &str) -> Vec<&'a str> {
    let mut parts = vec![];
    let (mut start, mut depth) = (0, 0);
    for (at, letter) in expression.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 && at >= start && expression[at..].starts_with(separator) => {
                parts.push(&expression[start..at]);
                start = at + separator.len();
            }
            _ => {}
        }
    }
    parts.push(&expression[start..]);
    parts
}
