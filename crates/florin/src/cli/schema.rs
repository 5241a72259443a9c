//! `florin schema`: what travels, for people and for programs.

use std::fmt::Write;

use clap::{Subcommand, ValueEnum};
use florin_http::openapi_document;
use florin_ledger::ErrorCode;
use florin_service::asyncapi;
use florin_wire::Guide;
use florin_wire::schema::Schemas;
use serde_json::Value;

/// The flags of `florin schema`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  florin schema asyncapi > asyncapi.json
  florin schema asyncapi --format yaml
  florin schema openapi > openapi.json
  florin schema list
  florin schema show invoice.request
  florin schema errors")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Prints the AMQP side as an AsyncAPI 3.0 document: exchanges, queues, operations, messages, errors.
    #[command(
        after_help = "Examples:\n  florin schema asyncapi > asyncapi.json\n  florin schema asyncapi --format yaml"
    )]
    Asyncapi {
        /// The notation.
        #[arg(long, value_enum, default_value = "json")]
        format: Format,
    },
    /// Prints the HTTP side as an OpenAPI 3.1 document, as served at /openapi.json.
    #[command(after_help = "Examples:\n  florin schema openapi > openapi.json")]
    Openapi {
        /// The notation.
        #[arg(long, value_enum, default_value = "json")]
        format: Format,
    },
    /// Lists the JSON Schemas (2020-12) of requests, replies, their bodies, and events.
    #[command(after_help = "Examples:\n  florin schema list\n  florin schema list | grep request")]
    List,
    /// Prints one JSON Schema, complete in itself, with examples.
    #[command(
        after_help = "Examples:\n  florin schema show invoice.request\n  florin schema show event > event.json"
    )]
    Show {
        /// One of the names that `florin schema list` prints.
        #[arg(value_parser = schema)]
        name: Named,
    },
    /// Prints the table of errors in Markdown, as in docs/errors.md.
    #[command(after_help = "Examples:\n  florin schema errors")]
    Errors,
}

/// How a document is written.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Json,
    Yaml,
}

/// A schema that was asked for by its name.
#[derive(Debug, Clone)]
struct Named(Value);

fn schema(name: &str) -> Result<Named, String> {
    Schemas::new()
        .get(name)
        .map(Named)
        .ok_or_else(|| "`florin schema list` prints those that there are".to_owned())
}

/// Prints what is asked for.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let text = match &args.action {
        Action::Asyncapi { format } => format.write(asyncapi::document())?,
        Action::Openapi { format } => format.write(openapi_document())?,
        Action::List => Schemas::new().names().fold(String::new(), |list, name| list + name + "\n"),
        Action::Show { name: Named(schema) } => json(schema)?,
        Action::Errors => errors()?,
    };
    florin_service::cli::print(&text)
}

impl Format {
    fn write(self, document: &Value) -> anyhow::Result<String> {
        Ok(match self {
            Self::Json => json(document)?,
            Self::Yaml => yaml_serde::to_string(document)?,
        })
    }
}

fn json(value: &Value) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

fn errors() -> Result<String, std::fmt::Error> {
    let mut table =
        String::from("| Error | Code | What was wrong | What to do | Does a retry help? | Given by |\n");
    table += "|---|---|---|---|---|---|\n";
    for code in ErrorCode::ALL {
        let Guide { meaning, advice, retry, givers } = Guide::of(code);
        let (status, retry) = (code.status(), retry.as_str());
        writeln!(table, "| `{code}` | {status} | {meaning} | {advice} | {retry} | {givers} |")?;
    }
    Ok(table)
}
