//! `tombolo models` and `tombolo pull`: what can be built upon, and fetching it.

use clap::Args;
use serde_json::json;
use tombolo_models::catalogue::{ENTRIES, Entry, Kind};
use tombolo_models::pull::Installed;

use super::terminal::Terminal;
use super::{Global, Outcome};
use crate::model;
use crate::starter::STARTERS;

/// List the models that are installed or can be pulled, with sizes and licences
#[derive(Args)]
pub struct ListArguments {}

/// Fetch models: by name, or hf:OWNER/NAME[@REVISION] from the Hugging Face hub
#[derive(Args)]
pub struct PullArguments {
    /// Names as `tombolo models` lists them, or hf:OWNER/NAME[@REVISION]
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

pub fn list(_: ListArguments, global: &Global, terminal: &Terminal) -> anyhow::Result<Outcome> {
    for starter in &STARTERS {
        let (name, about, bytes) = (starter.name, starter.about, starter.bytes());
        if terminal.json() {
            terminal.document(&json!({
                "name": name, "kind": "model", "about": about, "bytes": bytes, "source": "built in",
            }))?;
        } else {
            let megabytes = bytes as f64 / 1e6;
            terminal
                .result(&format!("{name} (model, {megabytes:.1} MB, built in)\n    {about}"))?;
        }
    }
    let store = model::backbones(global)?.store;
    let others = store.list()?.into_iter().filter_map(|installed| {
        let known = ENTRIES.iter().any(|entry| entry.name == installed.name());
        if known { None } else { Entry::parse(installed.name()).ok() }
    });
    for entry in ENTRIES.iter().cloned().chain(others) {
        let installed = store.find(&entry.name);
        if terminal.json() {
            terminal.document(&document(&entry, installed.as_ref()))?;
        } else {
            terminal.result(&paragraph(&entry, installed.as_ref()))?;
        }
    }
    Ok(Outcome::Done)
}

pub fn pull(
    arguments: PullArguments,
    global: &Global,
    terminal: &Terminal,
) -> anyhow::Result<Outcome> {
    let backbones = model::backbones(global)?;
    let entries =
        arguments.names.iter().map(|name| Entry::parse(name)).collect::<Result<Vec<_>, _>>()?;
    for entry in entries {
        let there = backbones.store.find(&entry.name);
        let installed = match there {
            Some(installed) => {
                installed.verify()?;
                installed
            }
            None => {
                let mut progress = |p: tombolo_models::pull::Progress<'_>| terminal.pulling(p);
                backbones.store.pull(&entry, backbones.offline, &mut progress)?
            }
        };
        terminal.end_bar();
        if terminal.json() {
            terminal.document(&document(&entry, Some(&installed)))?;
        } else {
            terminal.result(&format!("{}  {}", entry.name, installed.dir.display()))?;
        }
    }
    Ok(Outcome::Done)
}

fn kind(entry: &Entry) -> &'static str {
    match entry.kind {
        Some(Kind::Text) => "text",
        Some(Kind::Image) => "image",
        Some(Kind::Joint) => "model",
        None => "unknown",
    }
}

fn document(entry: &Entry, installed: Option<&Installed>) -> serde_json::Value {
    json!({
        "name": entry.name, "kind": kind(entry), "about": entry.about,
        "parameters": entry.parameters, "dimension": entry.dimension, "licence": entry.licence,
        "download_bytes": entry.download_bytes, "source": entry.origin(),
        "installed": installed.map(|installed| &installed.dir),
        "fingerprint": installed.map(Installed::fingerprint),
    })
}

fn paragraph(entry: &Entry, installed: Option<&Installed>) -> String {
    let millions = entry.parameters.map(|n| format!("{:.1} M parameters", n as f64 / 1e6));
    let size = entry.download_bytes.map(|n| format!("{:.0} MB to pull", n as f64 / 1e6));
    let state = match installed {
        Some(_) => "installed".to_owned(),
        None => size.unwrap_or_else(|| "can be pulled".into()),
    };
    let sizes = millions.map(|m| format!(", {m}")).unwrap_or_default();
    format!(
        "{} ({}{sizes}, {state})\n    {}\n    {}; {}",
        entry.name,
        kind(entry),
        entry.about,
        entry.origin(),
        entry.licence
    )
}
