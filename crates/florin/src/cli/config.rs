//! `florin config`: the settings in effect.

use florin_service::cli::output::OutputArgs;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  florin config
  SERVER_PORT=80 florin config --config my.toml

It takes the flags of `florin serve`. Passwords are shown as ***.
JSON: an object per section, with the names of the TOML file.")]
pub(crate) struct Args {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    serve: super::serve::Args,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let (common, flags) = args.serve.flags();
    args.output.print(&common.load(flags)?, |config| {
        format!("# The settings in effect. A url replaces the host, port, user, password and name beside it.\n\n{config}")
    })
}
