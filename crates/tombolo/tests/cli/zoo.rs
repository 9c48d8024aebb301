//! Jointly trained models from public layouts, by every command. The model is `parity/clip/tiny`: random weights, so what
//! it finds means nothing, but that all commands find the same does.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::http::{Server, paths};
use super::{assert_fails, assert_status, copy, data, err, out, run};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../parity").join(name)
}

/// A data folder with a model in `clip`.
fn with_clip() -> tempfile::TempDir {
    let dir = data();
    copy(&golden("clip/tiny"), &dir.path().join("clip"));
    dir
}

fn documents(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_directory_in_a_public_layout_is_a_model_for_every_command() {
    let dir = with_clip();
    let dir = dir.path();
    let eval = ["eval", "csv:captions.csv", "--split", "val", "--model", "clip", "--json"];
    let output = run(dir, &eval);
    assert_status(&output, 0);
    let document: Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!((&document["images"], &document["texts"]), (&4.into(), &8.into()));
    assert!(document["rsum"].is_number());

    let library = ["--library", "lib"];
    assert_status(&run(dir, &[&["index", "photos", "--model", "clip"], &library[..]].concat()), 0);
    let output = run(dir, &[&["search", "a red square", "--json"], &library[..]].concat());
    assert_status(&output, 0);
    let hits = documents(&out(&output));
    assert_eq!(hits.len(), 10);
    assert!(hits[0]["probability"].is_null(), "CLIP's scores are no probabilities");

    let best = hits[0]["path"].as_str().unwrap();
    let embed = ["embed", "a red square", best, "--model", "clip", "--out", "v.npy"];
    assert_status(&run(dir, &embed), 0);
    let vectors = tombolo_vectors::npy::read(&dir.join("v.npy")).unwrap();
    assert_eq!((vectors.len(), vectors.dim()), (2, 24));
    let score = f64::from(tombolo_vectors::dot(vectors.row(0), vectors.row(1)));
    let found = hits[0]["score"].as_f64().unwrap();
    assert!((found - score).abs() < 1e-3, "{found} {score}");

    std::fs::write(dir.join("texts.txt"), "a red square\nsomething blue\n").unwrap();
    let caption = ["caption", best, "--texts", "texts.txt", "--model", "clip", "--json"];
    let output = run(dir, &caption);
    assert_status(&output, 0);
    assert!(out(&output).contains("a red square"), "{}", out(&output));
}

#[test]
fn a_map_of_ones_own_goes_on_a_jointly_trained_model() {
    let dir = with_clip();
    let dir = dir.path();
    let train = ["train", "map", "csv:captions.csv", "--model", "clip", "--set", "map.epochs=20"];
    assert_fails(&run(dir, &train), 2, "jointly trained", "--out RUN");
    let train = [&train[..], &["--out", "mine"]].concat();
    let preset = run(dir, &[&train[..], &["--preset", "vse++"]].concat());
    assert_fails(&preset, 2, "--preset", "");
    let output = run(dir, &train);
    assert_status(&output, 0);
    assert!(err(&output).contains("the map before: 80% of a score"), "{}", err(&output));
    let features = std::fs::read_dir(dir.join("home/features")).unwrap();
    assert_eq!(features.count(), 2, "the report reads what training has cached");
    let report = std::fs::read_to_string(dir.join("mine/report.html")).unwrap();
    assert!(report.contains("own space, weight"), "the report tells what stands beside");

    let rsum = |model: &str| {
        let eval = ["eval", "csv:captions.csv", "--split", "val", "--model", model, "--json"];
        let output = run(dir, &eval);
        assert_status(&output, 0);
        serde_json::from_str::<Value>(&out(&output)).unwrap()["rsum"].as_f64().unwrap()
    };
    let (alone, mapped) = (rsum("clip"), rsum("mine"));
    assert!(mapped > alone, "{mapped} with a map, {alone} without");

    assert_status(&run(dir, &["index", "photos", "--model", "mine", "--library", "lib"]), 0);
    let server = Server::start(dir, &["--library", "lib"]);
    let found = server.search(serde_json::json!({ "query": "a red square" }));
    let id = found["hits"][0]["id"].as_str().unwrap();
    let why = server.get(&format!("/items/{id}/why?query=red"));
    let cells: Vec<f64> = serde_json::from_value(why.json()["cells"].clone()).unwrap();
    assert!(cells.contains(&0.0) && cells.contains(&1.0), "its parts differ: {cells:?}");
    drop(server);

    // Again, in place: the shared space stays beside, and is there once.
    let again = ["train", "map", "csv:captions.csv", "--model", "mine", "--set", "map.epochs=2"];
    let output = run(dir, &again);
    assert_status(&output, 0);
    assert!(err(&output).contains("the map before"), "{}", err(&output));
    let path = dir.join("mine/map.safetensors");
    let (map, _) = tombolo_models::map::Map::load(&path, &candle_core::Device::Cpu).unwrap();
    let own = map.config().beside.into_iter().filter(|beside| beside.text.linear.is_none());
    assert_eq!(own.count(), 1);
}

#[test]
fn a_library_of_a_jointly_trained_model_answers_with_a_map_on_it() {
    let dir = with_clip();
    let dir = dir.path();
    let index = |model: &str| {
        let output = run(dir, &["index", "photos", "--library", "lib", "--model", model, "--json"]);
        assert_status(&output, 0);
        documents(&out(&output)).remove(0)
    };
    assert_eq!(index("clip")["encoded"], 24);
    let train = ["train", "map", "csv:captions.csv", "--model", "clip", "--out", "mine"];
    assert_status(&run(dir, &[&train[..], &["--set", "map.epochs=20"]].concat()), 0);

    let search = |more: &[&str]| {
        let search = ["search", "a red square", "--library", "lib", "--json"];
        let output = run(dir, &[&search[..], more].concat());
        assert_status(&output, 0);
        documents(&out(&output))
    };
    let (own, mapped) = (search(&[]), search(&["--model", "mine"]));
    assert_ne!(own[0]["score"], mapped[0]["score"], "the new map answers");
    let server = Server::start(dir, &["--library", "lib", "--map", "mine"]);
    let served = server.search(serde_json::json!({ "query": "a red square" }));
    assert_eq!(served["hits"][0]["id"], mapped[0]["id"]);
    drop(server);
    assert_eq!(index("mine")["encoded"], 0, "and no photo is looked at again");
    assert_eq!(search(&[])[0]["score"], mapped[0]["score"]);

    // The vectors are the same as those of a library that was made with the map.
    let mine = ["index", "photos", "--library", "other", "--model", "mine"];
    assert_status(&run(dir, &mine), 0);
    let other = run(dir, &["search", "a red square", "--library", "other", "--json"]);
    let score = |hits: &[Value]| hits[0]["score"].as_f64().unwrap();
    let (one, other) = (score(&mapped), score(&documents(&out(&other))));
    assert!((one - other).abs() < 1e-4, "{one} {other}");
}

#[test]
fn what_no_map_of_ones_own_can_go_on_is_refused() {
    let dir = with_clip();
    let dir = dir.path();
    let train =
        |more: &[&str]| run(dir, &[&["train", "csv:captions.csv", "--out", "mine"], more].concat());
    assert_fails(&train(&["--model", "clip", "--stages", "text"]), 2, "stage map", "");
    assert_fails(&train(&["--model", "clip", "--stages", "map,joint"]), 2, "joint", "");
    assert_fails(&train(&["--model", "nowhere"]), 2, "no such model", "leave it out");
    std::fs::rename(dir.join("clip"), dir.join("a+b")).unwrap();
    assert_fails(&train(&["--model", "a+b"]), 2, "expected no +", "");
    copy(&golden("bert/roberta"), &dir.join("bert"));
    let alone = format!("text.backbone=dir:{}@shared", dir.join("bert").display());
    assert_fails(&train(&["--set", &alone]), 2, "no jointly trained model", "leave out @shared");
    assert_fails(&train(&["--model", "bert"]), 2, "xlm-roberta", "backbones");
    std::fs::create_dir(dir.join("empty")).unwrap();
    assert_fails(&train(&["--model", "empty"]), 2, "empty", "name the directory");
    let own = format!("text.backbone=dir:{}", dir.join("bert").display());
    assert_fails(&train(&["--set", &own]), 2, "tokenizer", "tokenizer.json beside");
}

#[test]
fn a_report_reads_texts_as_training_cached_them() {
    let dir = data();
    let dir = dir.path();
    copy(&golden("bert/tiny"), &dir.join("bert"));
    let words = ["a red square on the left", "green blue yellow black white right top bottom half"];
    let tokenizer = tombolo_models::text::Tokenizer::from_words(words, 40).unwrap();
    tokenizer.save(&dir.join("bert/tokenizer.json")).unwrap();
    let backbone = format!("text.backbone=dir:{}", dir.join("bert").display());
    let settings = [&backbone, "text.trained_blocks=1", "text.epochs=1"];
    let settings: Vec<&str> = settings.into_iter().flat_map(|s| ["--set", s]).collect();
    let train = ["train", "csv:captions.csv", "--config", "settings.toml", "--out", "mine"];
    assert_status(&run(dir, &[&train[..], &settings].concat()), 0);
    let features = std::fs::read_dir(dir.join("home/features")).unwrap();
    assert_eq!(features.count(), 1, "of texts below the trained layer, and of nothing else");
}

#[test]
fn a_server_answers_with_other_architectures() {
    // Those whose files here have no tokenizer take one whose words they have as many of.
    for (layout, tokenizer) in [
        ("clip/tiny", "clip/tiny"),
        ("clip/resnet", "clip/tiny"),
        ("siglip/tiny", "siglip/tiny"),
        ("altclip/tiny", "altclip/tiny"),
        ("align/tiny", "blip/tiny"),
        ("groupvit/tiny", "blip/tiny"),
        ("blip/tiny", "blip/tiny"),
    ] {
        let dir = data();
        let dir = dir.path();
        copy(&golden(layout), &dir.join("model"));
        let tokenizer = golden(tokenizer).join("tokenizer.json");
        std::fs::copy(tokenizer, dir.join("model/tokenizer.json")).unwrap();
        let index = ["index", "photos", "--model", "model", "--library", "lib"];
        assert_status(&run(dir, &index), 0);
        let server = Server::start(dir, &["--library", "lib"]);
        let found = server.search(serde_json::json!({ "query": "a red square" }));
        let ours = run(dir, &["search", "a red square", "--library", "lib", "--json"]);
        let ours = serde_json::json!({ "hits": documents(&out(&ours)) });
        assert_eq!(paths(&found), paths(&ours), "{layout}");
        let id = found["hits"][0]["id"].as_str().unwrap();
        let why = server.get(&format!("/items/{id}/why?query=red"));
        assert_eq!(why.status, 200, "{layout}: {}", why.text());
        let name = server.get("/v1/models").json()["data"][0]["id"].clone();
        let body = serde_json::json!({ "model": name, "input": ["a red square"] });
        let vector = server.post("/v1/embeddings", &body).json()["data"][0]["embedding"].clone();
        let square = |x: &Value| x.as_f64().unwrap().powi(2);
        let norm: f64 = vector.as_array().unwrap().iter().map(square).sum();
        assert!((norm - 1.0).abs() < 1e-3, "{layout}: {norm}");
    }
}

#[test]
fn a_library_of_one_model_is_not_searched_with_another() {
    let dir = with_clip();
    let dir = dir.path();
    assert_status(&run(dir, &["index", "photos", "--model", "clip", "--library", "lib"]), 0);
    copy(&golden("altclip/tiny"), &dir.join("other"));
    let search = ["search", "red", "--library", "lib", "--model", "other"];
    let output = run(dir, &search);
    assert_status(&output, 2);
    assert!(err(&output).contains("hint:"), "{}", err(&output));
}

#[test]
fn siglip_says_how_probable_a_match_is() {
    let dir = data();
    copy(&golden("siglip/tiny"), &dir.path().join("siglip"));
    let dir = dir.path();
    assert_status(&run(dir, &["index", "photos", "--model", "siglip", "--library", "lib"]), 0);
    let output = run(dir, &["search", "red", "--library", "lib", "--json"]);
    assert_status(&output, 0);
    for hit in documents(&out(&output)) {
        let (score, found) = (hit["score"].as_f64().unwrap(), hit["probability"].as_f64().unwrap());
        let expected = 1.0 / (1.0 + (3.0 - 2.0_f64.exp() * score).exp());
        assert!((found - expected).abs() < 1e-3, "{found} {expected}");
    }
}

#[test]
fn halves_are_backbones_of_our_own_towers() {
    let dir = with_clip();
    let dir = dir.path();
    let settings = [
        "text.backbone=dir:clip",
        "image.backbone=dir:clip",
        "text.positions=24",
        "image.positions=17",
    ];
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    let train = ["train", "csv:captions.csv", "--config", "settings.toml", "--out", "mine"];
    let arguments: Vec<&str> = train.into_iter().chain(settings).collect();
    assert_status(&run(dir, &arguments), 0);
    let eval = ["eval", "csv:captions.csv", "--split", "val", "--model", "mine", "--json"];
    assert_status(&run(dir, &eval), 0);
    // Another model in the place of the backbone is noticed.
    copy(&golden("altclip/tiny"), &dir.join("clip"));
    assert_status(&run(dir, &eval), 2);
}

#[test]
fn what_cannot_be_a_model_is_refused_with_a_hint() {
    let dir = with_clip();
    let dir = dir.path();
    let eval = |model| run(dir, &["eval", "csv:captions.csv", "--split", "val", "--model", model]);
    assert_fails(&eval("photos"), 2, "not a model", "hf:OWNER/NAME");
    assert_fails(&eval("hf:nobody"), 2, "hf:OWNER/NAME", "hf:");
    let output = eval("hf:openai/clip-vit-base-patch32");
    assert!(err(&output).contains("hf:openai/clip-vit-base-patch32"), "{}", err(&output));
    assert_ne!(output.status.code(), Some(0));

    let config = dir.join("clip/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replacen('{', "{\"new_trick\": true, ", 1)).unwrap();
    let output = eval("clip");
    assert_status(&output, 0);
    let told = err(&output);
    assert!(told.contains("warning:") && told.contains("new_trick"), "{told}");
    assert_eq!(told.matches("new_trick").count(), 1, "told once: {told}");
    std::fs::write(&config, text.replace("\"clip\"", "\"llama\"")).unwrap();
    assert_fails(&eval("clip"), 2, "`llama`", "backbones");
}
