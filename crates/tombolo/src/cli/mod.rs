//! The command line: flags, one file a command, errors with hints, exit codes.

mod caption;
mod cluster;
mod data;
mod duplicates;
mod embed;
mod eval;
mod failure;
mod index;
mod library;
mod models;
mod quickstart;
mod search;
mod serve;
mod terminal;
mod train;
mod watch;

use std::io::{IsTerminal, Write, stderr};
use std::process::ExitCode;

use clap::builder::FalseyValueParser;
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

use failure::Failure;
pub use failure::Misuse;
pub use terminal::Terminal;

/// Image–text retrieval that you can train: towers for text and image, joined by a small map.
#[derive(Parser)]
#[command(name = "tombolo", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags of every command.
#[derive(Args, Clone, Debug)]
pub struct Global {
    /// Print JSON on standard output: one document, or one line a result
    #[arg(long, global = true, env = "TOMBOLO_JSON", value_parser = FalseyValueParser::new())]
    pub json: bool,
    /// Print nothing but results and errors
    #[arg(long, short, global = true, env = "TOMBOLO_QUIET", value_parser = FalseyValueParser::new())]
    pub quiet: bool,
    /// Threads to compute with; 0 for all cores
    #[arg(long, global = true, env = "TOMBOLO_THREADS", default_value_t = 0, value_name = "N",
        value_parser = clap::value_parser!(u16).range(..=1024))]
    pub threads: u16,
    /// Where networks run
    #[arg(long, global = true, env = "TOMBOLO_DEVICE", value_enum, default_value_t = DeviceName::Cpu)]
    pub device: DeviceName,
    /// Use no network: a missing model is an error
    #[arg(long, global = true, env = "TOMBOLO_OFFLINE", value_parser = FalseyValueParser::new())]
    pub offline: bool,
}

/// Where networks run: the processor, or the first device of a kind whose cargo feature is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeviceName {
    Cpu,
    Cuda,
    Metal,
}

#[derive(Subcommand)]
enum Command {
    Quickstart(quickstart::Arguments),
    Train(train::Arguments),
    Eval(eval::Arguments),
    Index(index::Arguments),
    Search(Box<search::Arguments>),
    Serve(serve::Arguments),
    Duplicates(duplicates::Arguments),
    Library(library::Arguments),
    Caption(caption::Arguments),
    Embed(embed::Arguments),
    Models(models::ListArguments),
    Pull(models::PullArguments),
    Data(data::Arguments),
}

/// What a command came to, beyond its output.
enum Outcome {
    /// All was done.
    Done,
    /// All was done but for inputs that were skipped; each was named.
    Skipped,
}

/// Parses the arguments, runs the command and returns the exit status.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    let terminal = Terminal::new(cli.global.json, cli.global.quiet);
    match run(cli, &terminal) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Skipped) => ExitCode::from(3),
        Err(error) => {
            let failure = Failure::of(&error);
            terminal.failure(&failure);
            ExitCode::from(failure.status)
        }
    }
}

/// Prints what was wrong with the arguments, with a hint as every error has one; or the help that was asked for.
fn misused(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        error.exit();
    }
    let rendered = error.render();
    let text = match stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        true => rendered.ansi().to_string(),
        false => rendered.to_string(),
    };
    // In place of clap's own last line.
    let text = text.trim_end();
    let last =
        text.rsplit_once("\n\n").filter(|(_, last)| last.starts_with("For more information"));
    let what = last.map_or(text, |(what, _)| what);
    // There is nobody to tell that standard error is closed.
    let _ = writeln!(stderr(), "{what}\n\nhint: --help after the command tells all that it takes");
    ExitCode::from(2)
}

/// Refuses to print paths ended by zero bytes and JSON at once.
fn one_form(null: bool, terminal: &Terminal) -> anyhow::Result<()> {
    if null && terminal.json() {
        let what = "--null and --json: expected one of them, found both";
        return Err(Misuse::new(what, "leave one out (and TOMBOLO_NULL, TOMBOLO_JSON)").into());
    }
    Ok(())
}

fn run(cli: Cli, terminal: &Terminal) -> anyhow::Result<Outcome> {
    rayon::ThreadPoolBuilder::new().num_threads(cli.global.threads.into()).build_global()?;
    let global = &cli.global;
    match cli.command {
        Command::Quickstart(arguments) => quickstart::run(arguments, global, terminal),
        Command::Train(arguments) => train::run(arguments, global, terminal),
        Command::Eval(arguments) => eval::run(arguments, global, terminal),
        Command::Index(arguments) => index::run(arguments, global, terminal),
        Command::Search(arguments) => search::run(*arguments, global, terminal),
        Command::Duplicates(arguments) => duplicates::run(arguments, global, terminal),
        Command::Library(arguments) => library::run(arguments, global, terminal),
        Command::Serve(arguments) => serve::run(arguments, global, terminal),
        Command::Caption(arguments) => caption::run(arguments, global, terminal),
        Command::Embed(arguments) => embed::run(arguments, global, terminal),
        Command::Models(arguments) => models::list(arguments, global, terminal),
        Command::Pull(arguments) => models::pull(arguments, global, terminal),
        Command::Data(arguments) => data::run(arguments, global, terminal),
    }
}
