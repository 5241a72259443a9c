//! The command line as a page of the reference, made from what clap knows of it.

use std::fmt::Write;

use clap::{Arg, Command, CommandFactory};

use crate::cli::Cli;

/// All commands in Markdown.
pub(super) fn commands() -> String {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let mut page = String::from("# Command line\n");
    describe(&mut page, &program, "");
    page
}

fn describe(page: &mut String, command: &Command, parent: &str) {
    let name = format!("{parent}{}", command.get_name());
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let _ = write!(page, "\n## `{name}`\n\n{}\n", sentence(&about));
    let usage = command.clone().render_usage().to_string();
    let _ = write!(page, "\n```text\n{}\n```\n", usage.trim_start_matches("Usage: "));
    let mut arguments: Vec<&Arg> = command.get_arguments().filter(|arg| is_shown(arg)).collect();
    // In the order of --help: positional arguments, flags, flags under a heading.
    arguments.sort_by_key(|arg| (arg.get_help_heading().is_some(), !arg.is_positional()));
    let groups = arguments.chunk_by(|one, other| one.get_help_heading() == other.get_help_heading());
    for group in groups {
        let heading = group.first().and_then(|arg| arg.get_help_heading());
        let _ = write!(page, "\n{}", heading.map_or_else(String::new, |heading| format!("{heading}:\n\n")));
        group.iter().for_each(|arg| describe_argument(page, arg));
    }
    if let Some(notes) = command.get_after_long_help().or(command.get_after_help()) {
        let _ = write!(page, "\n```text\n{notes}\n```\n");
    }
    for subcommand in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        describe(page, subcommand, &format!("{name} "));
    }
}

/// `--help` and `--version` are left out.
fn is_shown(arg: &Arg) -> bool {
    !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str())
}

fn describe_argument(page: &mut String, arg: &Arg) {
    let values = arg.get_value_names().filter(|_| arg.get_action().takes_values()).unwrap_or_default();
    let values: Vec<String> = values.iter().map(|name| format!("<{name}>")).collect();
    let name = arg.get_long().map(|long| format!("--{long}"));
    let written: Vec<String> = name.into_iter().chain(values).collect();
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let _ = write!(page, "- `{}`: {}", written.join(" "), sentence(&help.replace('\n', " ")));
    let possible: Vec<_> =
        arg.get_possible_values().into_iter().filter(|value| !value.is_hide_set()).collect();
    if !possible.is_empty() && arg.get_action().takes_values() && !arg.is_hide_possible_values_set() {
        let list = possible.iter().map(|value| match value.get_help() {
            Some(help) => format!("`{}` ({})", value.get_name(), help.to_string().trim_end_matches('.')),
            None => format!("`{}`", value.get_name()),
        });
        let _ = write!(page, " One of {}.", list.collect::<Vec<_>>().join(", "));
    }
    let defaults = arg.get_default_values().iter().map(|value| value.to_string_lossy());
    let defaults = defaults.collect::<Vec<_>>().join(",");
    if !defaults.is_empty() && arg.get_action().takes_values() && !arg.is_hide_default_value_set() {
        let _ = write!(page, " Default: `{defaults}`.");
    }
    page.push('\n');
}

/// clap takes the full stop from the end of a short text.
fn sentence(text: &str) -> String {
    let stop = if text.ends_with(['.', ']']) { "" } else { "." };
    format!("{text}{stop}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_flag_is_there_and_no_hidden_one() {
        let page = commands();
        for text in
            ["\n## `florin dead requeue`\n", "- `<ID>`: ", "- `--limit <MESSAGES>`: ", "Default: `50`."]
        {
            assert!(page.contains(text), "{text}");
        }
        assert!(!page.contains("florin echo`"));
    }
}
