//! The protocol of `bench/peers/worker.py`.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use crate::npy;
use crate::work::Work;

/// Answers each line of standard input until it ends.
///
/// `check` gives the result to save, where it is not that of the work that is timed.
pub fn serve(mut work: Work, mut check: Option<Work>) -> anyhow::Result<()> {
    let mut answers = std::io::stdout();
    writeln!(answers, "ready")?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match line.split_once(' ') {
            None if line == "time" => {
                let start = Instant::now();
                work()?;
                writeln!(answers, "{}", start.elapsed().as_secs_f64())?;
            }
            Some(("save", path)) => {
                npy::write(Path::new(path), &check.as_mut().unwrap_or(&mut work)()?)?;
                writeln!(answers, "saved")?;
            }
            _ => anyhow::bail!("expected `time` or `save FILE`, found `{line}`"),
        }
    }
    Ok(())
}
