//! What protects the tables: keys, constraints, triggers. Without them a ledger that is sound now need not
//! stay so.
//!
//! The lists below follow `migrations/`: a migration that changes the protection of a table changes them too.

use std::collections::HashMap;

use deadpool_postgres::ClientWrapper;
use refinery::Migration;

use super::{Check, CheckReport, Finding};
use crate::rows::get;
use crate::{Error, migrate};

/// What must exist, as PostgreSQL prints it.
const PROTECTIONS: [(&str, &str); 46] = [
    ("table postings", "logged"),
    ("table holds", "logged"),
    ("table wallets", "logged"),
    ("table tickers", "logged"),
    ("table ledger", "logged"),
    (
        "columns of postings that are never null",
        "wallet_id, ticker_id, version, transaction_id, leg, operation, status, amount, actual_after, \
         frozen_after, held, redelivered, created_at",
    ),
    ("columns of holds that are never null", "transaction_id, created_at"),
    ("columns of wallets that are never null", "wallet_id, created_at"),
    ("columns of tickers that are never null", "ticker_id, name, scale, created_at"),
    ("columns of ledger that are never null", "only_row, ledger_id, secret, created_at"),
    ("constraint postings_chain", "PRIMARY KEY (wallet_id, ticker_id, version)"),
    ("constraint postings_transaction", "UNIQUE (transaction_id, leg)"),
    ("constraint holds_pkey", "PRIMARY KEY (transaction_id)"),
    ("constraint wallets_pkey", "PRIMARY KEY (wallet_id)"),
    ("constraint tickers_pkey", "PRIMARY KEY (ticker_id)"),
    ("constraint ledger_pkey", "PRIMARY KEY (only_row)"),
    ("constraint ledger_has_one_row", "CHECK (only_row)"),
    ("constraint ledger_secret", "CHECK (octet_length(secret) = 32)"),
    ("constraint tickers_name", "UNIQUE (name)"),
    ("constraint tickers_name_is_plain", "CHECK (name ~ '^[A-Za-z0-9._-]{1,32}$'::text)"),
    ("constraint tickers_scale", "CHECK (scale >= 0 AND scale <= 18)"),
    ("constraint postings_version", "CHECK (version > 0)"),
    ("constraint postings_leg", "CHECK (leg >= 0 AND leg <= 3)"),
    (
        "constraint postings_status",
        "CHECK (status = ANY (ARRAY['Created'::text, 'Success'::text, 'Error'::text]))",
    ),
    ("constraint postings_error", "CHECK ((error IS NOT NULL) = (status = 'Error'::text))"),
    (
        "constraint postings_amount",
        "CHECK (amount > 0::numeric AND amount < '1000000000000000000000000000000000000'::numeric)",
    ),
    (
        "constraint postings_actual",
        "CHECK (actual_after >= 0::numeric AND actual_after < '1000000000000000000000000000000000000'::numeric)",
    ),
    (
        "constraint postings_frozen",
        "CHECK (frozen_after >= 0::numeric AND frozen_after < '1000000000000000000000000000000000000'::numeric)",
    ),
    ("constraint postings_held", "CHECK (held OR actual_after = 0::numeric AND frozen_after = 0::numeric)"),
    ("constraint postings_request_hash", "CHECK (octet_length(request_hash) = 16)"),
    ("constraint postings_opening", "CHECK ((leg = 0) = (request_hash IS NOT NULL))"),
    ("constraint postings_details", "CHECK (leg = 0 OR metadata IS NULL AND expires_at IS NULL)"),
    ("constraint postings_expiry", "CHECK (expires_at IS NULL OR status = 'Created'::text)"),
    ("constraint postings_hold", "CHECK (leg = 0 OR status <> 'Created'::text)"),
    (
        "constraint postings_requested_by",
        "CHECK (requested_by IS NULL OR (leg = ANY (ARRAY[0, 2])) AND octet_length(requested_by) >= 1 AND \
         octet_length(requested_by) <= 255)",
    ),
    (
        "trigger postings_are_final",
        "always BEFORE DELETE OR UPDATE OR TRUNCATE ON postings FOR EACH STATEMENT \
         EXECUTE FUNCTION refuse_change()",
    ),
    (
        "trigger wallets_are_kept",
        "always BEFORE DELETE OR UPDATE OR TRUNCATE ON wallets FOR EACH STATEMENT \
         EXECUTE FUNCTION refuse_change()",
    ),
    (
        "trigger tickers_are_kept",
        "always BEFORE DELETE OR UPDATE OR TRUNCATE ON tickers FOR EACH STATEMENT \
         EXECUTE FUNCTION refuse_change()",
    ),
    (
        "trigger ledger_is_kept",
        "always BEFORE DELETE OR UPDATE OR TRUNCATE ON ledger FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
    ),
    (
        "trigger postings_resolve_holds",
        "always AFTER INSERT ON postings FOR EACH ROW WHEN (new.leg >= 2) EXECUTE FUNCTION check_resolution()",
    ),
    ("function of postings_are_final", MIGRATED),
    ("function of wallets_are_kept", MIGRATED),
    ("function of tickers_are_kept", MIGRATED),
    ("function of ledger_is_kept", MIGRATED),
    ("function of postings_resolve_holds", MIGRATED),
    ("function version_at", MIGRATED),
];

const MIGRATED: &str = "as in the migrations";
const APPLIED: &str = "applied";
const MISSING: &str = "missing";

/// What exists.
const EXISTING: &str = r"
    WITH tables AS (
         SELECT name, to_regclass(name)::oid AS oid
           FROM unnest('{postings,holds,wallets,tickers,ledger}'::text[]) name),
         found (subject, found) AS (
         SELECT 'table ' || tables.name,
                concat_ws(', ', CASE c.relpersistence WHEN 'p' THEN 'logged' ELSE 'lost in a crash: it is not logged' END,
                                CASE WHEN c.relrowsecurity THEN 'some rows are hidden: row-level security is on' END,
                                (SELECT 'with rule ' || r.rulename FROM pg_rewrite r
                                  WHERE r.ev_class = c.oid ORDER BY r.rulename LIMIT 1),
                                (SELECT 'with rows of table ' || i.inhrelid::regclass FROM pg_inherits i
                                  WHERE i.inhparent = c.oid ORDER BY i.inhrelid LIMIT 1))
           FROM tables JOIN pg_class c USING (oid)
         UNION ALL
         SELECT 'columns of ' || tables.name || ' that are never null', string_agg(a.attname, ', ' ORDER BY a.attnum)
           FROM tables JOIN pg_attribute a ON a.attrelid = tables.oid AND a.attnum > 0 AND a.attnotnull
          GROUP BY tables.name
         UNION ALL
         SELECT 'constraint ' || c.conname,
                pg_get_constraintdef(c.oid, true)
                || CASE WHEN i.indisvalid AND i.indisready AND i.indislive OR i.indisvalid IS NULL THEN ''
                        ELSE ', with an index that is not valid' END
           FROM tables JOIN pg_constraint c ON c.conrelid = tables.oid
           LEFT JOIN pg_index i ON i.indexrelid = c.conindid
         UNION ALL
         SELECT 'trigger ' || t.tgname,
                CASE t.tgenabled WHEN 'A' THEN 'always' WHEN 'D' THEN 'disabled:' ELSE 'not always:' END
                || regexp_replace(pg_get_triggerdef(t.oid, true), '^CREATE TRIGGER \S+', '')
           FROM tables JOIN pg_trigger t ON t.tgrelid = tables.oid AND NOT t.tgisinternal
         UNION ALL
         SELECT 'function of ' || t.tgname, f.prosrc || coalesce(array_to_string(f.proconfig, ','), '')
           FROM tables JOIN pg_trigger t ON t.tgrelid = tables.oid AND NOT t.tgisinternal
           JOIN pg_proc f ON f.oid = t.tgfoid
         UNION ALL
         SELECT 'function version_at', f.prosrc || coalesce(array_to_string(f.proconfig, ','), '')
           FROM pg_proc f WHERE f.oid = to_regprocedure('version_at(bigint, integer, timestamptz)'))
    SELECT subject, string_agg(found, '; ') AS found FROM found GROUP BY subject";

#[derive(Debug)]
pub(super) struct Schema {
    pub(super) report: CheckReport,
    /// Whether the migrations are those of this version.
    pub(super) is_of_this_version: bool,
}

/// Compares what exists with what must exist.
pub(super) async fn examine(session: &ClientWrapper, limit: usize) -> Result<Schema, Error> {
    let known = migrate::migrations();
    let (mut examined, mut findings) = compare_migrations(session, &known).await?;
    let is_of_this_version = findings.is_empty();
    let rows = session.query(EXISTING, &[]).await?;
    let pair = |row| Ok((get(row, "subject")?, get(row, "found")?));
    let existing: HashMap<&str, &str> = rows.iter().map(pair).collect::<Result<_, Error>>()?;
    examined += PROTECTIONS.len();
    for (subject, expected) in PROTECTIONS {
        let found = match existing.get(subject) {
            Some(body) if expected == MIGRATED => origin(body, &known),
            Some(found) => found,
            None => MISSING,
        };
        if found != expected {
            findings.push(finding(subject, expected, found));
        }
    }
    let is_known = |subject: &str| PROTECTIONS.iter().any(|(known, _)| *known == subject);
    let mut strangers: Vec<_> = existing
        .iter()
        .filter(|(subject, _)| subject.starts_with("trigger ") && !is_known(subject))
        .map(|(subject, found)| finding(subject, "no such trigger: it may change what is stored", found))
        .collect();
    strangers.sort_unstable_by(|one, other| one.subject.cmp(&other.subject));
    findings.append(&mut strangers);
    let mut report = CheckReport::new(Check::Schema);
    report.examined = i64::try_from(examined).ok();
    report.findings = i64::try_from(findings.len()).unwrap_or(i64::MAX);
    findings.truncate(limit);
    report.first = findings;
    Ok(Schema { report, is_of_this_version })
}

/// The number of migrations, and those that differ between this version and the database.
async fn compare_migrations(
    session: &ClientWrapper,
    known: &[Migration],
) -> Result<(usize, Vec<Finding>), Error> {
    let sql = "SELECT to_regclass('refinery_schema_history') IS NOT NULL AS exists";
    let rows = if get(&session.query_one(sql, &[]).await?, "exists")? {
        let sql = "SELECT format('V%s__%s', version, name) AS migration FROM refinery_schema_history ORDER BY version";
        session.query(sql, &[]).await?
    } else {
        Vec::new()
    };
    let applied = rows.iter().map(|row| get(row, "migration")).collect::<Result<Vec<String>, Error>>()?;
    let known: Vec<String> = known.iter().map(ToString::to_string).collect();
    let mut findings = Vec::new();
    for name in known.iter().filter(|name| !applied.contains(name)) {
        findings.push(finding(&format!("migration {name}"), APPLIED, MISSING));
    }
    for name in applied.iter().filter(|name| !known.contains(name)) {
        findings.push(finding(&format!("migration {name}"), "one that this version knows", APPLIED));
    }
    Ok((known.len(), findings))
}

/// Whether the body of a function is one that a migration gave it.
fn origin(body: &str, known: &[Migration]) -> &'static str {
    let migrated = known.iter().filter_map(Migration::sql).any(|sql| sql.contains(body));
    if migrated { MIGRATED } else { "changed" }
}

fn finding(subject: &str, expected: &str, found: &str) -> Finding {
    Finding {
        subject: Some(subject.to_owned()),
        expected: expected.to_owned(),
        found: found.to_owned(),
        ..Finding::default()
    }
}
