//! Stage scan, and the best hits judged again by what it trained.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::train_under_kills;
use super::{assert_fails, assert_status, copy_of_trained, data, err, out, parts, run};

const SETTINGS: [&str; 8] = [
    "scan.backbone=patches:16/8",
    "scan.text=words",
    "scan.drop=0",
    "scan.embedding=8",
    "scan.dim=16",
    "scan.epochs=40",
    "scan.batch=8",
    "scan.learning_rate=0.01",
];

fn train<'a>(further: &[&'a str]) -> Vec<&'a str> {
    let settings = SETTINGS.into_iter().flat_map(|setting| ["--set", setting]);
    ["train", "scan", "csv:captions.csv"]
        .into_iter()
        .chain(settings)
        .chain(further.iter().copied())
        .collect()
}

/// The judge counts for more than the first score.
const LOUD: [&str; 2] = ["--set", "scan.weight=10"];

/// A trained model, a library `lib` of its photos, and a run `judge` with stage scan alone.
fn with_judge() -> TempDir {
    let dir = copy_of_trained();
    assert_status(&run(dir.path(), &train(&[&["--out", "judge"][..], &LOUD].concat())), 0);
    let index = ["index", "photos", "--model", "model", "--library", "lib"];
    assert_status(&run(dir.path(), &index), 0);
    dir
}

fn eval(dir: &Path, flags: &[&str]) -> Value {
    let plain = ["eval", "csv:captions.csv", "--split", "train", "--model", "model", "--json"];
    let output = run(dir, &[&plain[..], flags].concat());
    assert_status(&output, 0);
    serde_json::from_str(&out(&output)).unwrap()
}

#[test]
fn the_best_hits_are_ordered_by_a_score_that_is_no_probability() {
    let dir = with_judge();
    let search = |flags: &[&str]| -> Vec<Value> {
        let all = ["search", "a red square on the left", "--library", "lib", "--json"];
        let output = run(dir.path(), &[&all[..], flags].concat());
        assert_status(&output, 0);
        out(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let plain = search(&["--top", "12"]);
    let judged = search(&["--top", "12", "--rerank", "judge", "--rerank-top", "8"]);
    let scores: Vec<f64> = judged[..8].iter().map(|h| h["match_score"].as_f64().unwrap()).collect();
    assert!(scores.iter().all(|score| (-1.0..=1.0).contains(score)));
    assert!(scores.windows(2).all(|pair| pair[0] >= pair[1]), "{scores:?}");
    assert!(judged.iter().all(|hit| hit["match"].is_null()));
    let paths = |hits: &[Value]| -> Vec<String> {
        hits.iter().map(|hit| hit["path"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(paths(&judged[8..]), paths(&plain[8..]));
    let text = ["search", "red", "--library", "lib", "--rerank", "judge"];
    assert!(out(&run(dir.path(), &text)).contains("match score"));
}

#[test]
fn what_it_learns_orders_better_than_what_it_starts_from() {
    let dir = with_judge();
    let untrained = ["--out", "untrained", "--set", "scan.epochs=0"];
    assert_status(&run(dir.path(), &train(&[&untrained[..], &LOUD].concat())), 0);
    let recall = |judge: &str| {
        let document = eval(dir.path(), &["--rerank", judge, "--rerank-top", "20"]);
        assert_eq!(document["rerank"]["model"], judge);
        document["text_to_image"]["recall@1"].as_f64().unwrap()
    };
    let (before, after) = (recall("untrained"), recall("judge"));
    assert!(after > before + 0.2, "{before}, {after}");
}

#[test]
fn a_judge_can_be_added_to_a_model_and_leaves_it_as_it_was() {
    let dir = copy_of_trained();
    // Text, image and map; what `model.toml` says grows.
    let state = || {
        let calibration = std::fs::read(dir.path().join("model/calibration.json")).ok();
        (parts(&dir.path().join("model"))[..3].to_vec(), calibration)
    };
    let (before, rsum) = (state(), eval(dir.path(), &[])["rsum"].clone());
    let few = ["--model", "model", "--set", "scan.epochs=1"];
    assert_status(&run(dir.path(), &train(&few)), 0);
    assert!(state() == before, "a part has changed");
    assert_eq!(eval(dir.path(), &[])["rsum"], rsum);
    eval(dir.path(), &["--rerank", "model"]);
    // A new map goes with the same judge.
    let map = ["train", "map", "csv:captions.csv", "--config", "settings.toml", "--model", "model"];
    assert_status(&run(dir.path(), &map), 0);
    eval(dir.path(), &["--rerank", "model"]);
    let model = std::fs::read_to_string(dir.path().join("model/model.toml")).unwrap();
    for recorded in ["[scan.sizes]", "sharpness = 9.0", "\"val.rsum\"", "epochs = 1\n"] {
        assert!(model.contains(recorded), "{recorded}: {model}");
    }
}

#[test]
fn its_weight_is_the_best_on_the_validation_split_beside_the_model() {
    let dir = copy_of_trained();
    assert_status(&run(dir.path(), &train(&["--model", "model"])), 0);
    let text = std::fs::read_to_string(dir.path().join("model/model.toml")).unwrap();
    let model: toml::Table = text.parse().unwrap();
    let judged = model["metrics"]["val.judged.rsum"].as_float().unwrap();
    let rsum = |weight: Option<&str>| {
        if let Some(weight) = weight {
            let weight = format!("scan.weight={weight}");
            assert_status(&run(dir.path(), &train(&["--model", "model", "--set", &weight])), 0);
        }
        let val = ["eval", "csv:captions.csv", "--split", "val", "--model", "model", "--json"];
        let output = run(dir.path(), &[&val[..], &["--rerank", "model"]].concat());
        assert_status(&output, 0);
        serde_json::from_str::<Value>(&out(&output)).unwrap()["rsum"].as_f64().unwrap()
    };
    // Captions are there more than once, so the last bit of equal scores may turn one of eight queries.
    let found = rsum(None);
    assert!((found - judged).abs() < 13.0, "{found}, {judged}");
    for weight in ["0.1", "2"] {
        let found = rsum(Some(weight));
        assert!(found < judged + 13.0, "{weight}: {found}, {judged}");
    }
}

#[test]
fn a_killed_run_of_several_stages_keeps_what_its_map_reached() {
    let dir = copy_of_trained();
    let settings = SETTINGS.into_iter().flat_map(|setting| ["--set", setting]);
    let stages = ["train", "csv:captions.csv", "--config", "settings.toml", "--model", "model"];
    let stages = stages.into_iter().chain(["--stages", "map,scan", "--out", "killed"]);
    train_under_kills(dir.path(), &stages.chain(settings).collect::<Vec<_>>(), "killed");
    let text = std::fs::read_to_string(dir.path().join("killed/model.toml")).unwrap();
    let model: toml::Table = text.parse().unwrap();
    for metric in ["val.rsum", "val.judged.rsum"] {
        assert!(model["metrics"].get(metric).is_some(), "{metric}: {text}");
    }
}

#[test]
fn a_weight_that_is_given_is_kept_and_an_old_result_is_not() {
    let dir = copy_of_trained();
    assert_status(&run(dir.path(), &train(&["--model", "model", "--set", "scan.epochs=1"])), 0);
    let given = ["--model", "model", "--set", "scan.epochs=1", "--set", "scan.weight=3"];
    assert_status(&run(dir.path(), &train(&given)), 0);
    let model = std::fs::read_to_string(dir.path().join("model/model.toml")).unwrap();
    assert!(model.contains("weight = 3.0") && !model.contains("judged"), "{model}");
}

#[test]
fn words_may_be_those_of_a_text_network() {
    let dir = copy_of_trained();
    // Its words were learned, and a run before left them.
    assert_status(&run(dir.path(), &train(&["--out", "judge", "--set", "scan.epochs=1"])), 0);
    let tiny = format!("scan.text=dir:{}/../../parity/blip/tiny", env!("CARGO_MANIFEST_DIR"));
    let few = ["--out", "judge", "--set", &tiny, "--set", "scan.epochs=2"];
    assert_status(&run(dir.path(), &train(&few)), 0);
    assert!(!dir.path().join("judge/scan-tokenizer.json").exists());
    eval(dir.path(), &["--rerank", "judge"]);
}

#[test]
fn a_stage_that_is_killed_and_resumed_gives_the_same_judge() {
    let dir = data();
    assert_status(&run(dir.path(), &train(&["--out", "whole"])), 0);
    train_under_kills(dir.path(), &train(&["--out", "killed"]), "killed");
    let weights = |run: &str| std::fs::read(dir.path().join(run).join("scan.safetensors")).unwrap();
    assert!(weights("killed") == weights("whole"));
}

#[test]
fn a_run_without_a_judge_is_refused_with_the_way_to_one() {
    let dir = with_judge();
    let search = ["search", "red", "--library", "lib", "--rerank", "model"];
    assert_fails(&run(dir.path(), &search), 2, "no scan", "tombolo train scan");
    let words = dir.path().join("judge/scan-tokenizer.json");
    let kept = std::fs::read(&words).unwrap();
    std::fs::write(&words, [&kept[..], b"\n"].concat()).unwrap();
    let search = ["search", "red", "--library", "lib", "--rerank", "judge"];
    assert_fails(&run(dir.path(), &search), 2, "scan-tokenizer.json", "train it anew");
    std::fs::write(&words, kept).unwrap();
    let swapped = dir.path().join("judge/scan.safetensors");
    let other = ["--out", "other", "--seed", "1"];
    assert_status(&run(dir.path(), &train(&[&other[..], &LOUD].concat())), 0);
    std::fs::copy(dir.path().join("other/scan.safetensors"), swapped).unwrap();
    let search = ["search", "red", "--library", "lib", "--rerank", "judge"];
    let output = run(dir.path(), &search);
    assert_status(&output, 2);
    assert!(err(&output).contains("scan"), "{}", err(&output));
}
