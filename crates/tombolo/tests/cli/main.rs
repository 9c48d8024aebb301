//! The program as its users meet it: output, exit statuses, bad input, interrupted runs.
//!
//! Models are tiny and trained here, on pictures that are drawn here: no network, no weights.

#![allow(clippy::unwrap_used)]

mod attacks;
mod crowds;
mod curriculum;
mod datasets;
mod evaluation;
mod http;
mod joint;
mod killed;
mod library;
mod preset;
mod rerank;
mod scan;
mod serve;
mod starter;
mod zoo;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

const COLOURS: [(&str, [u8; 3]); 6] = [
    ("red", [220, 30, 30]),
    ("green", [30, 200, 40]),
    ("blue", [40, 60, 220]),
    ("yellow", [240, 220, 40]),
    ("black", [10, 10, 10]),
    ("white", [250, 250, 250]),
];
const PLACES: [&str; 4] = ["left", "right", "top", "bottom"];

const SETTINGS: &str = "
[text]
backbone = 'words'
width = 16
layers = 1
heads = 2
output = 16
positions = 12
pool_top = 0
epochs = 4
batch = 16
queue = 32
[image]
backbone = 'patches:16/8'
width = 16
layers = 1
heads = 2
output = 16
positions = 4
pool_top = 0
epochs = 4
batch = 16
queue = 32
neighbours = 2
[map]
dim = 16
hidden = 16
epochs = 30
batch = 16
average = 0.9
";

/// A square on grey, in one of four places.
fn draw(colour: [u8; 3], place: &str) -> image::RgbImage {
    image::RgbImage::from_fn(32, 32, |x, y| {
        let inside = match place {
            "left" => x < 16,
            "right" => x >= 16,
            "top" => y < 16,
            _ => y >= 16,
        };
        image::Rgb(if inside { colour } else { [128; 3] })
    })
}

/// A folder with pictures and a CSV file that captions them, and `settings.toml`.
fn data() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    dir
}

fn fill(dir: &Path) {
    std::fs::create_dir(dir.join("photos")).unwrap();
    let mut lines = vec!["image,caption,split".to_owned()];
    for (number, (name, colour)) in COLOURS.into_iter().enumerate() {
        for (at, place) in PLACES.into_iter().enumerate() {
            let photo = format!("photos/{name}-{place}.png");
            draw(colour, place).save(dir.join(&photo)).unwrap();
            let split = if (number + at) % 6 == 5 { "val" } else { "train" };
            lines.push(format!("{photo},a {name} square on the {place},{split}"));
            lines.push(format!("{photo},{place} half {name},{split}"));
        }
    }
    std::fs::write(dir.join("captions.csv"), lines.join("\n")).unwrap();
    std::fs::write(dir.join("settings.toml"), SETTINGS).unwrap();
}

fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tombolo"));
    command.args(arguments).current_dir(dir).env("TOMBOLO_HOME", dir.join("home"));
    command.env("TOMBOLO_OFFLINE", "true").stdin(Stdio::null());
    command
}

fn run(dir: &Path, arguments: &[&str]) -> Output {
    command(dir, arguments).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn assert_status(output: &Output, status: i32) {
    assert_eq!(output.status.code(), Some(status), "{}\n{}", out(output), err(output));
}

/// Checks status, that the message says `what`, and that a hint says `hint`.
#[track_caller]
fn assert_fails(output: &Output, status: i32, what: &str, hint: &str) {
    assert_status(output, status);
    let text = err(output);
    let (error, advice) = text.split_once("hint:").unwrap_or((&text, ""));
    assert!(error.contains("error:") && error.contains(what), "expected `{what}` in: {text}");
    assert!(advice.contains(hint), "expected the hint `{hint}` in: {text}");
}

const TRAIN: [&str; 6] =
    ["train", "csv:captions.csv", "--config", "settings.toml", "--out", "model"];

/// A data folder with a trained model in it, made once for all tests that only read it. It is
/// under `target`: nothing deletes what a static holds.
fn trained() -> &'static Path {
    static DIR: OnceLock<TempDir> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fill(dir.path());
        assert_status(&run(dir.path(), &TRAIN), 0);
        dir
    })
    .path()
}

/// A data folder of its own with a copy of the trained model.
fn copy_of_trained() -> TempDir {
    let dir = data();
    copy(&trained().join("model"), &dir.path().join("model"));
    dir
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn parts(run: &Path) -> Vec<Vec<u8>> {
    let names = ["text.safetensors", "image.safetensors", "map.safetensors", "model.toml"];
    names.iter().map(|name| std::fs::read(run.join(name)).unwrap()).collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_does_not() {
    let dir = data();
    assert_status(&run(dir.path(), &TRAIN), 0);
    assert_eq!(parts(&dir.path().join("model")), parts(&trained().join("model")));
    let other = ["train", "csv:captions.csv", "--config", "settings.toml", "--out", "other"];
    assert_status(&run(dir.path(), &[&other[..], &["--seed", "1"]].concat()), 0);
    assert_ne!(parts(&dir.path().join("other"))[0], parts(&trained().join("model"))[0]);
}

/// Trains `run` in a folder, killed and resumed until it is whole.
fn train_under_kills(dir: &Path, train: &[&str], run: &str) {
    let mut kills = 0;
    // Killed after the run was put in its place, while its report was written, there is no more to do.
    for attempt in (0..40).take_while(|_| !dir.join(run).exists()) {
        let resume: &[&str] = if attempt > 0 { &["--resume"] } else { &[] };
        let mut child = command(dir, &[train, resume].concat())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Short at first: a fast machine is done in less than a tenth of a second.
        std::thread::sleep(Duration::from_millis(8 + 23 * attempt));
        match child.try_wait().unwrap() {
            Some(_) => assert_status(&child.wait_with_output().unwrap(), 0),
            None => {
                child.kill().unwrap();
                child.wait().unwrap();
                kills += 1;
            }
        }
    }
    // A slow machine is never done in between.
    if !dir.join(run).exists() {
        assert_status(&self::run(dir, &[train, &["--resume"]].concat()), 0);
    }
    assert!(kills > 0, "no run was killed");
}

#[test]
fn a_run_killed_at_any_moment_and_resumed_gives_the_same_model() {
    let dir = data();
    train_under_kills(dir.path(), &TRAIN, "model");
    assert_eq!(parts(&dir.path().join("model")), parts(&trained().join("model")));
}

#[test]
fn each_stage_is_trained_from_data_of_its_own() {
    let dir = data();
    let captions = std::fs::read_to_string(dir.path().join("captions.csv")).unwrap();
    let texts = captions.lines().skip(1).filter_map(|line| line.split(',').nth(1));
    let texts: Vec<&str> = texts.collect();
    let lines: Vec<String> = texts.chunks(2).map(|two| two.join("\t")).collect();
    std::fs::write(dir.path().join("texts.tsv"), lines.join("\n")).unwrap();
    let shown = run(dir.path(), &["data", "texts:texts.tsv", "--json"]);
    let shown: Value = serde_json::from_str(&out(&shown)).unwrap();
    assert_eq!((&shown["images"], &shown["texts"]), (&0.into(), &texts.len().into()));
    let settings = ["--config", "settings.toml"];
    let train = |stage: &[&str], place: [&str; 2]| {
        run(dir.path(), &[&["train"], stage, &settings, &place].concat())
    };
    assert_status(&train(&["text", "texts:texts.tsv"], ["--out", "own"]), 0);
    let words = std::fs::read(dir.path().join("own/text.safetensors")).unwrap();
    assert_status(&train(&["image", "folder:photos"], ["--model", "own"]), 0);
    assert_status(&train(&["map", "csv:captions.csv"], ["--model", "own"]), 0);
    assert_eq!(parts(&dir.path().join("own"))[0], words, "stage text was left alone");
    let refused = train(&["texts:texts.tsv"], ["--out", "other"]);
    assert_fails(&refused, 2, "has no photos: stage image", "tombolo train text");
    assert!(!dir.path().join("other.partial").exists());
    let eval = run(dir.path(), &["eval", "texts:texts.tsv", "--model", "own"]);
    assert_fails(&eval, 2, "has no photos to find", "photos and texts");
}

#[test]
fn eval_reports_every_metric_of_the_contract() {
    let arguments = ["eval", "csv:captions.csv", "--model", "model", "--split", "val", "--json"];
    let output = run(trained(), &arguments);
    assert_status(&output, 0);
    let document: Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!((&document["images"], &document["texts"]), (&4.into(), &8.into()));
    for side in ["image_to_text", "text_to_image"] {
        for k in [1, 5, 10] {
            for metric in ["recall", "true_recall", "precision"] {
                let value = document[side][format!("{metric}@{k}")].as_f64().unwrap();
                assert!((0.0..=1.0).contains(&value));
            }
        }
        for metric in ["map@50", "map@all", "median_rank", "mean_rank"] {
            assert!(document[side][metric].is_number(), "{side} {metric}");
        }
        assert_eq!(document[side]["recall@1_ci95"].as_array().unwrap().len(), 2);
    }
    assert!(document["rsum"].is_number() && document["seconds"]["rank"].is_number());
}

#[test]
fn the_report_opens_without_a_network() {
    let report = std::fs::read_to_string(trained().join("model/report.html")).unwrap();
    assert!(report.contains("<svg") && !report.contains("src=\"http"));
}

#[test]
fn embedded_vectors_are_those_that_eval_ranks() {
    let dir = copy_of_trained();
    let texts = "a red square on the left\nbottom half blue\n";
    std::fs::write(dir.path().join("texts.txt"), texts).unwrap();
    let arguments = ["embed", "texts.txt", "photos/red-left.png", "--model", "model", "--out"];
    assert_status(&run(dir.path(), &[&arguments[..], &["v.npy"]].concat()), 0);
    let matrix = tombolo_vectors::npy::read(&dir.path().join("v.npy")).unwrap();
    // The trained map's, and as many of the form beside it.
    assert_eq!((matrix.len(), matrix.dim()), (3, 16 + 16));
    for row in matrix.iter() {
        assert!((row.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
    }
    assert_fails(&run(dir.path(), &[&arguments[..], &["v.csv"]].concat()), 2, "v.csv", "--out");
}

#[test]
fn a_library_is_indexed_searched_and_kept_true() {
    let dir = copy_of_trained();
    let index = ["index", "photos", "--library", "library", "--model", "model", "--json"];
    let encoded = |output: &Output| -> (u64, u64) {
        let document: Value = serde_json::from_str(&out(output)).unwrap();
        (document["encoded"].as_u64().unwrap(), document["forgotten"].as_u64().unwrap())
    };
    let first = run(dir.path(), &index);
    assert_status(&first, 0);
    assert_eq!(encoded(&first), (24, 0));
    assert_eq!(encoded(&run(dir.path(), &index)), (0, 0));

    std::fs::remove_file(dir.path().join("photos/red-left.png")).unwrap();
    draw([1, 2, 3], "top").save(dir.path().join("photos/green-top.png")).unwrap();
    draw([90, 2, 3], "top").save(dir.path().join("photos/new.png")).unwrap();
    assert_eq!(encoded(&run(dir.path(), &index)), (2, 1));

    let search = ["search", "a blue square on the right", "--library", "library"];
    let output = run(dir.path(), &[&search[..], &["--json", "--top", "3"]].concat());
    assert_status(&output, 0);
    let hits: Vec<Value> = out(&output).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(hits.len(), 3);
    assert_eq!((&hits[0]["rank"], &hits[0]["width"]), (&1.into(), &32.into()));
    assert!(hits[0]["score"].as_f64() >= hits[2]["score"].as_f64());

    let null = run(dir.path(), &[&search[..], &["-0", "--top", "2"]].concat());
    assert_eq!(out(&null).matches('\0').count(), 2);
    let image = ["search", "--image", "photos/new.png", "--library", "library", "--json"];
    let hits = out(&run(dir.path(), &image));
    let best: Value = serde_json::from_str(hits.lines().next().unwrap()).unwrap();
    assert!(best["path"].as_str().unwrap().ends_with("new.png"));
    let both = [&search[..], &["--add", "red", "--subtract", "photos/new.png"]].concat();
    assert_status(&run(dir.path(), &both), 0);
}

#[test]
fn broken_photos_are_named_and_the_rest_goes_on() {
    let dir = copy_of_trained();
    let photos = dir.path().join("photos");
    std::fs::write(photos.join("text.jpg"), "this is no photo").unwrap();
    let whole = std::fs::read(photos.join("red-left.png")).unwrap();
    std::fs::write(photos.join("cut.png"), &whole[..whole.len() / 2]).unwrap();
    // A PNG header that promises 60,000 × 60,000 pixels.
    let mut huge = whole[..33].to_vec();
    huge[16..24].copy_from_slice(&[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
    std::fs::write(photos.join("huge.png"), huge).unwrap();
    let output = run(dir.path(), &["index", "photos", "--library", "lib", "--model", "model"]);
    assert_status(&output, 3);
    for name in ["text.jpg", "cut.png", "huge.png"] {
        assert!(err(&output).contains(name), "{name} is not named: {}", err(&output));
    }
    assert!(out(&output).contains("24 added"), "{}", out(&output));

    std::fs::remove_file(photos.join("blue-top.png")).unwrap();
    let eval = ["eval", "csv:captions.csv", "--model", "model", "--split", "train"];
    let output = run(dir.path(), &eval);
    assert_status(&output, 3);
    assert!(err(&output).contains("blue-top.png"), "{}", err(&output));
}

#[test]
fn texts_of_any_length_and_script_are_embedded() {
    let long = "a red square ".repeat(10_000);
    std::fs::write(trained().join("odd.txt"), format!("\nпривет, мир\n日本\n{long}\n")).unwrap();
    let arguments = ["embed", "odd.txt", "--model", "model", "--out", "odd.npy"];
    assert_status(&run(trained(), &arguments), 0);
}

#[test]
fn wrong_use_is_told_with_a_hint() {
    let dir = trained();
    assert_fails(&run(dir, &["data", "flikr8k:x"]), 2, "flikr8k", "flickr8k");
    assert_fails(&run(dir, &["data", "csv:none.csv"]), 2, "none.csv", "");
    assert_fails(&run(dir, &["eval", "csv:captions.csv", "--model", "photos"]), 2, "photos", "RUN");
    let test = ["eval", "csv:captions.csv", "--model", "model"];
    assert_fails(&run(dir, &test), 2, "test", "");
    let unknown = [&TRAIN[..4], &["--out", "x", "--set", "map.dims=3"]].concat();
    assert_fails(&run(dir, &unknown), 2, "map.dims", "did you mean `map.dim`?");
    assert_fails(&run(dir, &TRAIN), 2, "model exists", "--out");
    assert_fails(&run(dir, &["search", "x", "--library", "nowhere"]), 2, "nowhere", "index");
    let offline = ["train", "csv:captions.csv", "--out", "y"];
    assert_fails(&run(dir, &offline), 1, "this run is offline", "tombolo pull");
    let pull = ["pull", "all-minilm-l6"];
    assert_fails(&run(dir, &pull), 2, "all-minilm-l6", "all-minilm-l6-v2");
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let dir = copy_of_trained();
    let other = [&TRAIN[..4], &["--out", "other", "--seed", "5"]].concat();
    assert_status(&run(dir.path(), &other), 0);
    let library = ["index", "photos", "--library", "library", "--model"];
    assert_status(&run(dir.path(), &[&library[..], &["model"]].concat()), 0);
    let refused = run(dir.path(), &[&library[..], &["other"]].concat());
    assert_fails(&refused, 2, "library", "");

    let (from, to) = (dir.path().join("other"), dir.path().join("model"));
    std::fs::copy(from.join("text.safetensors"), to.join("text.safetensors")).unwrap();
    let eval = ["eval", "csv:captions.csv", "--model", "model", "--split", "val"];
    assert_fails(&run(dir.path(), &eval), 2, "text tower", "");
    std::fs::copy(from.join("model.toml"), to.join("model.toml")).unwrap();
    std::fs::copy(from.join("image.safetensors"), to.join("image.safetensors")).unwrap();
    assert_fails(&run(dir.path(), &eval), 2, "the map joins", "train map");
}

#[test]
fn one_stage_is_retrained_alone() {
    let dir = copy_of_trained();
    let map = ["train", "map", "csv:captions.csv", "--out", "model", "--set", "map.kind=cca"];
    let map = [&map[..], &["--config", "settings.toml"]].concat();
    assert_status(&run(dir.path(), &map), 0);
    let (new, old) = (parts(&dir.path().join("model")), parts(&trained().join("model")));
    assert_eq!(new[..2], old[..2]);
    assert_ne!(new[2], old[2]);
    let none: PathBuf = dir.path().join("none");
    let alone = ["train", "map", "csv:captions.csv", "--out", none.to_str().unwrap()];
    assert_fails(&run(dir.path(), &alone), 2, "stage map needs", "tombolo train text");
}
