//! `florin completions`: what a shell needs to complete our commands and flags.

use clap::CommandFactory;
use clap_complete::Shell;

/// The flags of `florin completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  florin completions bash > ~/.local/share/bash-completion/completions/florin
  florin completions zsh > \"${fpath[1]}/_florin\"
  florin completions fish > ~/.config/fish/completions/florin.fish")]
pub(crate) struct Args {
    /// The shell.
    shell: Shell,
}

/// Prints the completions.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "florin", &mut script);
    florin_service::cli::print(&String::from_utf8(script)?)
}
