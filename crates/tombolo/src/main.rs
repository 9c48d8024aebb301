//! Tombolo: image–text retrieval that you can train.

mod cli;
mod model;
mod report;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
