//! `tombolo serve`: a library over HTTP, with a web page.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::failure::Misuse;
use super::terminal::Terminal;
use super::{Global, Outcome};
use crate::library::{Opened, library_name};
use crate::model::Encoder;
use crate::serve;

/// Serve a library over HTTP, with a web page to search it
#[derive(Args)]
pub struct Arguments {
    /// The library's directory, or milvus://HOST:PORT/COLLECTION; by default your own, beside the installed models
    #[arg(long, env = "TOMBOLO_LIBRARY", value_name = "DIR")]
    library: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one
    #[arg(long, env = "TOMBOLO_BIND", default_value = "127.0.0.1:7700", value_name = "ADDRESS")]
    bind: String,
    /// A file with the token that clients must show; needed to listen beyond this machine
    #[arg(long, env = "TOMBOLO_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Requests that are answered at once; more are told to come again
    #[arg(long, env = "TOMBOLO_MAX_REQUESTS", default_value_t = 256, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_requests: u32,
    /// The model: a run directory, a name that `tombolo models` lists, or hf:OWNER/NAME; by default the one that the
    /// library was last indexed with
    #[arg(long, env = "TOMBOLO_MODEL")]
    model: Option<PathBuf>,
    /// A run whose map takes the place of the model's, as for another language; it must join the same towers
    #[arg(long, env = "TOMBOLO_MAP", value_name = "RUN")]
    map: Option<PathBuf>,
}

pub fn run(arguments: Arguments, global: &Global, terminal: &Terminal) -> anyhow::Result<Outcome> {
    let library = Opened::open(&library_name(arguments.library)?)?;
    let model = library.model(arguments.model)?;
    // What is wrong with them is told before anything listens.
    let encoder = Encoder::open_with_map(&model, arguments.map.as_deref(), global, terminal)?;
    let fingerprint = encoder.model().image_fingerprint()?;
    library.require(&model, &fingerprint, &encoder.model().map_fingerprint()?)?;
    encoder.map()?;
    let bind = address(&arguments.bind)?;
    let token = arguments.token_file.as_deref().map(token).transpose()?;
    if token.is_none() && !bind.ip().is_loopback() {
        let what = format!("--bind {bind}: others could reach this address");
        return Err(Misuse::new(what, "give --token-file FILE, or listen at 127.0.0.1").into());
    }
    log(global, terminal);
    let config = serve::Config {
        library: library.photos,
        model: encoder.model().dir().to_path_buf(),
        map: arguments.map,
        model_name: name_of(&model),
        bind,
        token,
        slots: arguments.max_requests as usize,
    };
    serve::run(config, global, |address| {
        let url = format!("http://{address}");
        let told = match terminal.json() {
            true => terminal.document(&json!({ "url": url })),
            false => terminal.result(&format!("{url}  (stop with Ctrl-C)")),
        };
        // There is nobody to tell that standard output is closed.
        drop(told);
    })?;
    Ok(Outcome::Done)
}

fn address(bind: &str) -> anyhow::Result<SocketAddr> {
    let found = bind.to_socket_addrs().ok().and_then(|mut found| found.next());
    let wrong = || {
        Misuse::new(
            format!("--bind {bind}: expected an address and a port"),
            "as in 127.0.0.1:7700",
        )
    };
    Ok(found.ok_or_else(wrong)?)
}

fn token(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        let what = format!("{}: the token cannot be read: {error}", file.display());
        Misuse::new(what, "--token-file names a file that holds the token")
    })?;
    match text.trim() {
        "" => {
            let what = format!("{}: expected a token, found nothing", file.display());
            Err(Misuse::new(what, "`openssl rand -hex 32` makes a good one").into())
        }
        token => Ok(token.to_owned()),
    }
}

/// What clients call a model: the last part of its path.
fn name_of(model: &Path) -> String {
    let name = model.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_else(|| "tombolo".to_owned());
    // A starter that was unpacked: its name and a hash of its contents.
    let unpacked = |starter: &&str| {
        let hash = name.strip_prefix(*starter).and_then(|rest| rest.strip_prefix('-'));
        hash.is_some_and(|hash| hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let starter = crate::starter::STARTERS.iter().map(|starter| starter.name).find(unpacked);
    starter.map_or(name.clone(), str::to_owned)
}

/// A line a request on standard error: JSON with `--json`, none with `--quiet`.
fn log(global: &Global, terminal: &Terminal) {
    let level = if global.quiet { tracing::Level::ERROR } else { tracing::Level::INFO };
    let lines = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(terminal.colour())
        .with_max_level(level);
    // Only the first subscriber of a process counts, and this is it.
    let _ = match global.json {
        true => lines.json().flatten_event(true).try_init(),
        false => lines.try_init(),
    };
}
