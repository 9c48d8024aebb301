//! `tombolo duplicates`: photos that are there more than once.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tombolo_search::{Duplicates, Library};

use super::terminal::Terminal;
use super::{Global, Outcome, one_form};
use crate::library::library_dir;

/// Find photos of a library that show the same
#[derive(Args)]
pub struct Arguments {
    /// The library's directory; by default your own, beside the installed models
    #[arg(long, env = "TOMBOLO_LIBRARY", value_name = "DIR")]
    library: Option<PathBuf>,
    /// How alike near duplicates are: the cosine of what the image tower makes of them. 1 for the same bytes alone
    #[arg(long, env = "TOMBOLO_LIKENESS", default_value_t = 0.97, value_name = "COSINE", value_parser = likeness)]
    likeness: f32,
    /// Print all paths but the first of each group, each ended by a zero byte, for `xargs -0`
    #[arg(short = '0', long = "null", env = "TOMBOLO_NULL",
        value_parser = clap::builder::FalseyValueParser::new())]
    null: bool,
}

pub fn run(arguments: Arguments, _: &Global, terminal: &Terminal) -> anyhow::Result<Outcome> {
    one_form(arguments.null, terminal)?;
    let library = Library::open(&library_dir(arguments.library)?)?;
    // Equal bytes share a row, whose cosine with itself may come out a little below one.
    let likeness = if arguments.likeness >= 1.0 { f32::INFINITY } else { arguments.likeness };
    let mut started = false;
    let found = library.duplicates(likeness, &mut |done, all| {
        if !std::mem::replace(&mut started, true) {
            terminal.begin("photos compared", Some(all as u64));
        }
        terminal.advance(done as u64, None);
    })?;
    terminal.end_bar();
    for group in &found {
        if arguments.null {
            for item in &group.items[1..] {
                terminal.bytes(format!("{}\0", item.path).as_bytes())?;
            }
        } else if terminal.json() {
            terminal.document(&document(group))?;
        } else {
            terminal.result(&text(group))?;
        }
    }
    let more: usize = found.iter().map(|group| group.items.len() - 1).sum();
    terminal.note(&match (found.len(), more) {
        (0, _) => "no photo is there twice".to_owned(),
        (1, 1) => "1 group, with 1 photo beyond its first".to_owned(),
        (1, more) => format!("1 group, with {more} photos beyond its first"),
        (groups, more) => format!("{groups} groups, with {more} photos beyond their first"),
    });
    Ok(Outcome::Done)
}

fn likeness(text: &str) -> Result<f32, String> {
    let likeness = text.parse().ok().filter(|likeness| (0.5..=1.0).contains(likeness));
    likeness.ok_or_else(|| "expected a number from 0.5 to 1".to_owned())
}

fn document(group: &Duplicates) -> serde_json::Value {
    let items = group.items.iter().map(|item| {
        json!({ "path": item.path, "id": item.id, "size": item.size, "width": item.width, "height": item.height })
    });
    json!({ "exact": group.exact, "items": items.collect::<Vec<_>>() })
}

fn text(group: &Duplicates) -> String {
    let how = if group.exact { "the same bytes" } else { "alike" };
    let lines = group.items.iter().map(|item| {
        format!(
            "\n  {:>5} × {:<5}  {:>8.1} kB  {}",
            item.width,
            item.height,
            item.size as f64 / 1e3,
            item.path
        )
    });
    format!("{how}{}", lines.collect::<String>())
}
