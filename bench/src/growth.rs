//! How a library's time and memory grow with its photos: `bench/growth.sh` runs the steps, each in a process
//! of its own, over vectors of `base.npy` with records of photos that nobody has.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use half::f16;
use tombolo_search::{
    BoxError, GalleryMap, Hit, Library, LibraryWriter, LinkOptions, Method, SearchOptions,
};
use tombolo_vectors::EmbeddingMatrix;

use crate::Inputs;
use crate::npy;
use crate::work::search::map;

const DIM: usize = 512;

/// Photos committed at a time.
const BATCH: usize = 1_024;

/// Searches of which the median is told.
const SEARCHES: usize = 51;

/// The vectors as they are, so that a library keeps a mapped copy and a graph of them.
struct Identity;

impl GalleryMap for Identity {
    fn fingerprint(&self) -> &str {
        "identity"
    }

    fn dim(&self) -> usize {
        DIM
    }

    fn apply(&self, raw: &EmbeddingMatrix) -> Result<EmbeddingMatrix, BoxError> {
        Ok(raw.clone())
    }
}

/// Makes a library of random unit vectors for the image tower of this fingerprint and dimension, so that its model can
/// serve it: `raw:ROWS:FINGERPRINT:DIM`.
fn raw(dir: &Path, rows: usize, fingerprint: &str, dim: usize) -> anyhow::Result<String> {
    let start = Instant::now();
    let mut writer = LibraryWriter::open_or_create(dir, fingerprint, dim)?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for first in (0..rows).step_by(BATCH) {
        let end = rows.min(first + BATCH);
        let mut halves = Vec::with_capacity((end - first) * dim);
        for _ in first..end {
            let mut vector: Vec<f32> = (0..dim).map(|_| uniform(&mut state)).collect();
            tombolo_vectors::normalize(&mut vector);
            halves.extend(vector.into_iter().map(f16::from_f32));
        }
        let names: Vec<String> = (first..end).map(|row| format!("growth:{row:07}")).collect();
        writer.commit_vectors(&halves, &names)?;
    }
    Ok(format!("{:.1} s", start.elapsed().as_secs_f64()))
}

/// From −1 to 1, by xorshift (Marsaglia 2003).
fn uniform(state: &mut u64) -> f32 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// Does `index:ROWS`, `link:ROWS` or `search:ROWS`, and prints what it took.
pub fn run(step: &str, inputs: &Inputs) -> anyhow::Result<()> {
    let (name, rows) = step.split_once(':').context("expected growth:STEP:ROWS")?;
    let (rows, tower) = rows.split_once(':').unwrap_or((rows, ""));
    let rows: usize = rows.parse()?;
    let dir = inputs.cache.join(format!("growth-{rows}"));
    let told = match name {
        "index" => index(&dir, rows, &inputs.cache.join("base.npy"))?,
        "raw" => {
            let (fingerprint, dim) = tower.split_once(':').context("expected a tower and DIM")?;
            raw(&inputs.cache.join(format!("raw-{rows}")), rows, fingerprint, dim.parse()?)?
        }
        "link" => link(&dir)?,
        "search" => search(&dir, &inputs.cache.join("base.npy"))?,
        _ => bail!("unknown step `{name}`"),
    };
    let memory = format!("peak {:.0} MB resident", peak_resident()?);
    writeln!(std::io::stdout(), "{rows} rows, {name}: {told}; {memory}")?;
    Ok(())
}

fn index(dir: &Path, rows: usize, base: &Path) -> anyhow::Result<String> {
    let file = map(base)?;
    let (_, values) = npy::view(base, &file)?;
    let start = Instant::now();
    let mut writer = LibraryWriter::open_or_create(dir, "growth", DIM)?;
    for first in (0..rows).step_by(BATCH) {
        let end = rows.min(first + BATCH);
        let halves = values[first * DIM..end * DIM].iter().map(|&x| f16::from_f32(x));
        let names: Vec<String> = (first..end).map(|row| format!("growth:{row:07}")).collect();
        writer.commit_vectors(&halves.collect::<Vec<_>>(), &names)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(format!("{seconds:.2} s, {:.0} photos/s", rows as f64 / seconds))
}

fn link(dir: &Path) -> anyhow::Result<String> {
    let start = Instant::now();
    let options = LinkOptions { from_rows: 1, ..Default::default() };
    LibraryWriter::open_or_create(dir, "growth", DIM)?.link(&Identity, &options, &mut |_, _| {})?;
    Ok(format!("{:.1} s with the map", start.elapsed().as_secs_f64()))
}

/// Opening with a first search, then the median search by each method, and what it misses.
fn search(dir: &Path, base: &Path) -> anyhow::Result<String> {
    let file = map(base)?;
    let (shape, values) = npy::view(base, &file)?;
    let queries = &values[(shape[0] - SEARCHES) * DIM..];
    let (exact, mut told) = search_by(dir, queries, Method::Exact)?;
    let mut others = vec![("int8", Method::Int8)];
    if dir.join("mapped/identity/graph.hnsw").exists() {
        others.insert(0, ("graph", Method::Auto));
    }
    for (name, method) in others {
        let (found, took) = search_by(dir, queries, method)?;
        let recall = recall(&found, &exact);
        let memory = peak_resident()?;
        told += &format!("; {name} {took}, recall@10 {recall:.3}, {memory:.0} MB so far");
    }
    Ok(format!("exact {told}"))
}

/// What each query finds, and the times.
fn search_by(
    dir: &Path,
    queries: &[f32],
    method: Method,
) -> anyhow::Result<(Vec<Vec<Hit>>, String)> {
    let options = SearchOptions { map: Some(&Identity), method, ..Default::default() };
    let milliseconds = |start: Instant| start.elapsed().as_secs_f64() * 1e3;
    let start = Instant::now();
    let library = Library::open(dir)?;
    library.search(&queries[..DIM], &options)?;
    let first = milliseconds(start);
    let (mut found, mut times) = (Vec::new(), Vec::new());
    for query in queries.chunks_exact(DIM) {
        let start = Instant::now();
        found.push(library.search(query, &options)?);
        times.push(milliseconds(start));
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok((found, format!("{:.2} ms (open and first: {first:.0} ms)", times[SEARCHES / 2])))
}

/// The share of the exact hits that are among those found.
fn recall(found: &[Vec<Hit>], exact: &[Vec<Hit>]) -> f64 {
    let is_in = |hit: &Hit, hits: &[Hit]| hits.iter().any(|other| other.item == hit.item);
    let pairs = found.iter().zip(exact);
    let same = pairs.map(|(found, exact)| exact.iter().filter(|hit| is_in(hit, found)).count());
    same.sum::<usize>() as f64 / exact.iter().map(Vec::len).sum::<usize>() as f64
}

/// Most memory of this process so far, mapped files included, in megabytes.
fn peak_resident() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1e3)
}
