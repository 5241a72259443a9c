//! `florin schema`: the messages for programs, and the reference for people.

mod reference;

use std::fmt::Write;

use clap::{Subcommand, ValueEnum};
use florin_http::openapi_document;
use florin_ledger::ErrorCode;
use florin_metrics::metrics_reference;
use florin_service::asyncapi;
use florin_service::cli::output::{self, OutputArgs};
use florin_service::config::settings_reference;
use florin_wire::Guide;
use florin_wire::schema::Schemas;
use serde::Serialize;
use serde_json::Value;

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
        /// Format of the document.
        #[arg(long, value_enum, default_value = "json")]
        format: Format,
    },
    /// Prints the HTTP side as an OpenAPI 3.1 document, as served at /openapi.json.
    #[command(after_help = "Examples:\n  florin schema openapi > openapi.json")]
    Openapi {
        /// Format of the document.
        #[arg(long, value_enum, default_value = "json")]
        format: Format,
    },
    /// Lists the JSON Schemas (2020-12) of requests, replies, their bodies, and events.
    #[command(
        after_help = "JSON: {\"schemas\": [name]}\n\nExamples:\n  florin schema list\n  florin schema list | grep request"
    )]
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Prints one JSON Schema, complete in itself, with examples.
    #[command(
        after_help = "Examples:\n  florin schema show invoice.request\n  florin schema show events > events.json"
    )]
    Show {
        /// One of the names that `florin schema list` prints.
        #[arg(value_parser = schema)]
        name: Named,
    },
    /// Prints the table of errors in Markdown, as in docs/errors.md.
    #[command(after_help = "Examples:\n  florin schema errors")]
    Errors,
    /// Prints the reference of the command line in Markdown, as in docs/reference/cli.md.
    Cli,
    /// Prints the reference of the settings in Markdown, as in docs/reference/settings.md.
    Settings,
    /// Prints the reference of the metrics in Markdown, as in docs/reference/metrics.md.
    Metrics,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Json,
    Yaml,
}

#[derive(Serialize)]
struct Names<'a> {
    schemas: Vec<&'a str>,
}

/// A schema, selected by its name.
#[derive(Debug, Clone)]
struct Named(Value);

fn schema(name: &str) -> Result<Named, &'static str> {
    Schemas::new().get(name).map(Named).ok_or("`florin schema list` prints the names of all schemas")
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let text = match &args.action {
        Action::Asyncapi { format } => format.write(asyncapi::document())?,
        Action::Openapi { format } => format.write(openapi_document())?,
        Action::List { output } => return list(*output),
        Action::Show { name: Named(schema) } => json(schema)?,
        Action::Errors => errors()?,
        Action::Cli => reference::commands(),
        Action::Settings => settings_reference(),
        Action::Metrics => metrics_reference(),
    };
    output::print(&text)
}

fn list(output: OutputArgs) -> anyhow::Result<()> {
    let schemas = Schemas::new();
    output.print(&Names { schemas: schemas.names().collect() }, |names| {
        names.schemas.iter().fold(String::new(), |list, name| list + name + "\n")
    })
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
        String::from("| Error | Code | What was wrong | What to do | Does a retry help? | Returned by |\n");
    table += "|---|---|---|---|---|---|\n";
    for code in ErrorCode::ALL {
        let Guide { meaning, advice, retry, givers } = Guide::of(code);
        let (status, retry) = (code.status(), retry.as_str());
        writeln!(table, "| `{code}` | {status} | {meaning} | {advice} | {retry} | {givers} |")?;
    }
    Ok(table)
}
