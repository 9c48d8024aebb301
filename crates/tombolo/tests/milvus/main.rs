//! A library on a cluster gives the answers of the one on disk that was copied to it.
//!
//! Needs a running server: `TOMBOLO_TEST_MILVUS=HOST:PORT`, as `.ci/milvus` sets it. Without it each test says that it passes
//! over.

#![cfg(feature = "milvus")]
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod answers;
mod copies;
mod guarded;
mod proxy;
mod served;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

use serde_json::Value;
use tempfile::TempDir;

const COLOURS: [(&str, [u8; 3]); 7] = [
    ("red", [220, 30, 30]),
    ("green", [30, 200, 40]),
    ("blue", [40, 60, 220]),
    ("yellow", [240, 220, 40]),
    ("black", [10, 10, 10]),
    ("white", [250, 250, 250]),
    ("pink", [250, 120, 180]),
];
/// Odd on purpose: each character means something in an expression or a pattern.
const NAMES: [&str; 4] = ["IMG_1", "IMG 1", "100% \"q\"", "it's [new]"];

/// Scores on both sides differ by less.
const TOLERANCE: f64 = 1e-3;

/// The server's address, unless there is none.
fn server() -> Option<String> {
    let server = std::env::var("TOMBOLO_TEST_MILVUS").ok();
    if server.is_none() {
        println!("TOMBOLO_TEST_MILVUS names no server: passed over");
    }
    server
}

/// A collection of this test run alone.
fn collection(server: &str, name: &str) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    format!("milvus://{server}/{name}_{}_{}", std::process::id(), now.as_nanos())
}

/// A disc or a square on grey, higher or wider.
fn draw(colour: [u8; 3], number: u32) -> image::RgbImage {
    let (width, height) = if number.is_multiple_of(2) { (64, 48) } else { (48, 72) };
    image::RgbImage::from_fn(width, height, |x, y| {
        let (dx, dy) = (x.abs_diff(width / 2), y.abs_diff(height / 2));
        let inside = match number {
            0 => dx * dx + dy * dy < 400,
            1 => dx < 15 && dy < 15,
            2 => dx + dy < 20,
            _ => dx < 8 || dy < 8,
        };
        image::Rgb(if inside { colour } else { [128; 3] })
    })
}

/// Pictures in two folders with captions and tags; one is there twice, byte by byte.
fn photos() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut tags = vec!["image,tags".to_owned()];
    for (row, (colour, rgb)) in COLOURS.into_iter().enumerate() {
        let folder = if row % 2 == 0 { "photos/even" } else { "photos/odd_%" };
        tags.push(format!("{folder}/IMG_1 {colour}.png,{colour};it's \\ 100%"));
        let folder = dir.path().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        for (number, name) in NAMES.into_iter().enumerate() {
            let file = folder.join(format!("{name} {colour}.png"));
            draw(rgb, number as u32).save(&file).unwrap();
            let caption = format!("{colour} \"{name}\"");
            std::fs::write(file.with_extension("txt"), caption).unwrap();
        }
    }
    let photos = dir.path().join("photos");
    std::fs::copy(photos.join("even/IMG 1 red.png"), photos.join("again.png")).unwrap();
    std::fs::write(dir.path().join("tags.csv"), tags.join("\n")).unwrap();
    dir
}

fn run(dir: &Path, arguments: &[&str]) -> Output {
    command(dir, arguments).output().unwrap()
}

fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tombolo"));
    command.args(arguments).current_dir(dir).env("TOMBOLO_HOME", dir.join("home"));
    command.env("TOMBOLO_OFFLINE", "true").stdin(Stdio::null());
    command
}

#[track_caller]
fn done(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Checks that it was wrong use, and what is said of it.
#[track_caller]
fn assert_refused(output: &Output, what: &str, hint: &str) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    let (error, advice) = text.split_once("hint:").unwrap_or((&text, ""));
    assert!(error.contains(what) && advice.contains(hint), "{text}");
}

fn index(dir: &Path) {
    let arguments =
        ["index", "photos", "--library", "lib", "--model", "emoji-starter", "--tags", "tags.csv"];
    done(&run(dir, &arguments));
}

/// What a copy said: photos, sent, removed.
#[track_caller]
fn copy(dir: &Path, to: &str) -> [u64; 3] {
    let said: Value =
        serde_json::from_str(&done(&run(dir, &["library", "copy", "lib", to, "--json"]))).unwrap();
    ["photos", "sent", "removed"].map(|name| said[name].as_u64().unwrap())
}

fn hits(dir: &Path, library: &str, arguments: &[&str]) -> Vec<Value> {
    let all = [&["search", "--json", "--library", library], arguments].concat();
    done(&run(dir, &all)).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Both give the same photos in the same order, with the same scores. Returns how many.
#[track_caller]
fn assert_same(dir: &Path, cluster: &str, arguments: &[&str]) -> usize {
    let (local, remote) = (hits(dir, "lib", arguments), hits(dir, cluster, arguments));
    let paths = |hits: &[Value]| hits.iter().map(|hit| hit["path"].to_string()).collect::<Vec<_>>();
    assert_eq!(paths(&remote), paths(&local), "{arguments:?}");
    for (local, remote) in local.iter().zip(&remote) {
        for field in ["score", "probability"] {
            let [a, b] = [local, remote].map(|hit| hit[field].as_f64());
            assert_eq!(a.is_some(), b.is_some(), "{field} of {arguments:?}");
            assert!((a.unwrap_or(0.0) - b.unwrap_or(0.0)).abs() < TOLERANCE, "{local} {remote}");
        }
        for field in ["rank", "id", "width", "height", "caption", "taken_at", "cursor"] {
            assert_eq!(remote[field], local[field], "{field} of {arguments:?}");
        }
    }
    local.len()
}
