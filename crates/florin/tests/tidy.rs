//! Rules of style that no linter knows: files stay small, no float comes near money, nothing is left to do.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

const MAX_LINES: usize = 400;
/// Where money is read, decided on, or stored.
const MONEY: [&str; 3] = ["crates/ledger", "crates/wire", "crates/store"];
const FLOATS: [&str; 6] = ["f32", "f64", "float4", "float8", "double", "as_f64"];

fn files_below(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && name != "node_modules" && !name.starts_with('.') {
                files.extend(files_below(&path, extensions));
            }
        } else if path.extension().is_some_and(|extension| extensions.iter().any(|known| extension == *known))
        {
            files.push(path);
        }
    }
    files
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|character: char| !character.is_alphanumeric() && character != '_')
}

#[test]
fn files_stay_small() {
    let files = files_below(root(), &["rs"]);
    assert!(files.len() > 20, "the walk found too little: {files:?}");
    let long: Vec<_> = files
        .iter()
        .map(|file| (file, fs::read_to_string(file).unwrap().lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .collect();
    assert!(long.is_empty(), "over {MAX_LINES} lines: {long:?}");
}

/// The version before has to go on working on the new schema: a migration adds. What is removed was no longer
/// used by the release that its first line names.
#[test]
fn migrations_only_add() {
    let mut migrations = files_below(&root().join("crates/store/migrations"), &["sql"]);
    migrations.sort();
    assert!(migrations[0].ends_with("V1__baseline.sql"), "{migrations:?}");
    for file in &migrations[1..] {
        let removed = removals(&fs::read_to_string(file).unwrap());
        assert!(
            removed.is_empty(),
            "{}: expand first, contract one release later: {removed:?}",
            file.display()
        );
    }
}

/// The statements that remove, rename or demand something, unless the first line says that they may.
fn removals(sql: &str) -> Vec<String> {
    const REMOVE: [&str; 7] = ["DROP", "RENAME", "TRUNCATE", "DELETE", "REVOKE", "TYPE", "SET NOT NULL"];
    if sql.starts_with("-- Contracts: ") {
        return Vec::new();
    }
    let code: Vec<&str> = sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    let statements = code.join(" ");
    let removes = |statement: &&str| {
        let upper = statement.to_uppercase();
        let words: Vec<&str> = upper.split_whitespace().collect();
        let alters = ["ALTER", "DROP", "TRUNCATE", "DELETE", "REVOKE"].contains(words.first().unwrap_or(&""));
        alters && REMOVE.iter().any(|word| format!(" {} ", words.join(" ")).contains(&format!(" {word} ")))
    };
    statements.split(';').filter(removes).map(|statement| statement.trim().to_owned()).collect()
}

#[test]
fn what_a_migration_removes_is_noticed() {
    let adds = "CREATE TABLE a (b text); ALTER TABLE a ADD COLUMN c int DEFAULT 0; -- DROP\nCREATE TYPE d AS (e int);";
    assert!(removals(adds).is_empty());
    for removes in [
        "DROP TABLE a",
        "ALTER TABLE a DROP COLUMN b",
        "alter table a rename column b to c",
        "ALTER TABLE a ALTER b TYPE int",
        "ALTER TABLE a ALTER b SET NOT NULL",
        "DELETE FROM a",
        "REVOKE SELECT ON a FROM b",
    ] {
        assert_eq!(removals(&format!("{adds} {removes};")), [removes]);
        assert!(removals(&format!("-- Contracts: 0.2 stopped reading a.b.\n{removes};")).is_empty());
    }
}

#[test]
fn no_float_comes_near_money() {
    let folders = MONEY.map(|folder| files_below(&root().join(folder), &["rs", "sql"]));
    let mut found = Vec::new();
    for file in folders.concat() {
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if FLOATS.iter().any(|float| words(code).any(|word| word == *float)) {
                found.push(format!("{}:{}: {line}", file.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn nothing_is_left_to_do() {
    // Written so that this file does not name them itself.
    let leftovers = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X ")];
    for file in files_below(root(), &["rs", "sql", "sh", "toml"]) {
        let text = fs::read_to_string(&file).unwrap();
        for leftover in leftovers {
            assert!(!text.contains(leftover), "{leftover} in {}", file.display());
        }
    }
}
