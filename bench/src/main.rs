//! Tombolo's side of the benchmarks: `tombolo-bench WORK CACHE MODELS` loads what the work needs and then
//! waits for `bench/run.py`, as `bench/peers/worker.py` describes. `growth:STEP:ROWS` is for `bench/growth.sh`.

mod growth;
mod npy;
mod work;
mod worker;

use std::path::PathBuf;

use anyhow::Context;

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Where the inputs lie that `bench/prepare.py` made, and the installed models.
pub struct Inputs {
    /// The cache folder.
    pub cache: PathBuf,
    /// The folder `models` of `TOMBOLO_HOME`.
    pub models: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |name| arguments.next().with_context(|| format!("{name} is missing"));
    let work = next("WORK")?;
    let inputs = Inputs { cache: next("CACHE")?.into(), models: next("MODELS")?.into() };
    if let Some(step) = work.strip_prefix("growth:") {
        return growth::run(step, &inputs);
    }
    worker::serve(work::load(&work, &inputs)?, work::load_check(&work, &inputs)?)
}
