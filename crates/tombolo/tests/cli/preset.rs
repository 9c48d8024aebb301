//! Training by a preset: VSE++, on sizes that fit the small data.

use serde_json::Value;

use super::{assert_fails, assert_status, data, out, parts, run, train_under_kills};

const TRAIN: [&str; 5] = ["train", "csv:captions.csv", "--preset", "vse++", "--out"];

const SMALL: [&str; 10] = [
    "text.width=12",
    "text.output=16",
    "image.backbone=patches:16/8",
    "image.pool_top=0",
    "image.width=16",
    "image.output=16",
    "map.dim=16",
    "joint.epochs=100",
    "joint.batch=8",
    "joint.learning_rate=0.01",
];

fn train<'a>(name: &'a str, further: &[&'a str]) -> Vec<&'a str> {
    let small = SMALL.into_iter().flat_map(|setting| ["--set", setting]);
    TRAIN.into_iter().chain([name]).chain(small).chain(further.iter().copied()).collect()
}

#[test]
fn vse_plus_plus_learns_from_pairs_and_records_its_settings() {
    let dir = data();
    assert_status(&run(dir.path(), &train("untrained", &["--set", "joint.epochs=0"])), 0);
    assert_status(&run(dir.path(), &train("model", &[])), 0);
    let rsum = |model: &str| {
        let eval = ["eval", "csv:captions.csv", "--split", "train", "--model", model, "--json"];
        let output = run(dir.path(), &eval);
        assert_status(&output, 0);
        let document: Value = serde_json::from_str(&out(&output)).unwrap();
        document["rsum"].as_f64().unwrap()
    };
    let (before, after) = (rsum("untrained"), rsum("model"));
    assert!(after > before + 100.0, "{before}, {after}");
    let model = std::fs::read_to_string(dir.path().join("model/model.toml")).unwrap();
    for recorded in ["encoder = \"gru\"", "loss = \"triplet-hardest\"", "\"joint\",\n"] {
        assert!(model.contains(recorded), "{recorded}: {model}");
    }
    assert_fails(&run(dir.path(), &train("model", &[])), 2, "", "");
    let other = ["train", "csv:captions.csv", "--preset", "vse", "--out", "other"];
    assert_fails(&run(dir.path(), &other), 2, "vse++", "");
}

#[test]
fn vse_plus_plus_killed_and_resumed_gives_the_same_model() {
    let dir = data();
    assert_status(&run(dir.path(), &train("whole", &[])), 0);
    train_under_kills(dir.path(), &train("killed", &[]), "killed");
    assert_eq!(parts(&dir.path().join("killed")), parts(&dir.path().join("whole")));
}
