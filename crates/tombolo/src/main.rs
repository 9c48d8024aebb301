//! Tombolo: image–text retrieval that you can train.

mod cli;
mod evaluation;
mod library;
mod model;
mod query;
mod report;
mod rerank;
mod serve;
mod starter;

use std::process::ExitCode;

// Training makes and drops large tensors at every step. The system's allocator hands their pages back to the
// kernel each time, and a quarter of the time went into clearing them anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
