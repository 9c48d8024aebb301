//! Models that are built in: a library and a search with nothing trained, and probabilities of a match.

use serde_json::Value;

use super::{assert_fails, assert_status, copy_of_trained, data, err, out, run};

fn hits(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_starter_indexes_and_searches_your_own_library_at_once() {
    let dir = data();
    let dir = dir.path();
    assert_status(&run(dir, &["index", "photos", "--model", "emoji-starter", "--quiet"]), 0);
    assert!(dir.join("home/library/library.toml").exists());
    let found = run(dir, &["search", "red circle", "--json"]);
    assert_status(&found, 0);
    let all = hits(&out(&found));
    assert_eq!(all.len(), 10);
    let probability = |hit: &Value| hit["probability"].as_f64().unwrap();
    assert!(all.iter().all(|hit| (0.0..=1.0).contains(&probability(hit))));
    assert!(all.windows(2).all(|pair| probability(&pair[0]) >= probability(&pair[1])));

    let cut = format!("{}", 0.5 * (probability(&all[2]) + probability(&all[3])));
    let found = run(dir, &["search", "red circle", "--json", "--min-probability", &cut]);
    assert_eq!(hits(&out(&found)).len(), 3);
    let nothing = run(dir, &["search", "red circle", "--min-probability", "1"]);
    assert_eq!(out(&nothing), "");
    assert!(err(&nothing).contains("no photo matches"), "{}", err(&nothing));
}

#[test]
fn a_probability_is_of_words_alone() {
    let dir = data();
    let dir = dir.path();
    assert_status(&run(dir, &["index", "photos", "--model", "emoji-starter", "--quiet"]), 0);
    let mixed = ["search", "red", "--add", "blue", "--min-probability", "0.5"];
    assert_fails(&run(dir, &mixed), 2, "words alone", "calibrated on texts");
    assert_status(&run(dir, &["search", "red", "--min-probability", "1.5"]), 2);
    let found = run(dir, &["search", "red", "--add", "blue", "--json"]);
    assert!(hits(&out(&found)).iter().all(|hit| hit["probability"].is_null()));
}

#[test]
fn a_model_without_calibration_says_how_to_get_one() {
    let dir = copy_of_trained();
    let dir = dir.path();
    let library = ["--library", "lib"];
    assert_status(&run(dir, &["index", "photos", "--model", "model", "--library", "lib"]), 0);
    let asked = [&["search", "red", "--min-probability", "0.5"], &library[..]].concat();
    assert_fails(&run(dir, &asked), 2, "not calibrated", "train map");
}

#[test]
fn a_map_is_trained_anew_on_the_towers_of_another_run_and_the_library_answers_with_it() {
    let dir = copy_of_trained();
    let dir = dir.path();
    assert_status(&run(dir, &["index", "photos", "--model", "model", "--library", "lib"]), 0);
    let before = out(&run(dir, &["search", "a red square", "--library", "lib", "--json"]));
    let train = ["train", "map", "csv:captions.csv", "--config", "settings.toml"];
    let other = ["--model", "model", "--out", "other", "--set", "map.kind=cca"];
    assert_status(&run(dir, &[&train[..], &other].concat()), 0);
    let same = out(&run(dir, &["search", "a red square", "--library", "lib", "--json"]));
    assert_eq!(before, same, "the library's model is as it was");
    let named =
        run(dir, &["search", "a red square", "--library", "lib", "--model", "other", "--json"]);
    assert_ne!(out(&named), before);
    // In place: the library answers with the new map at once.
    let in_place = ["--model", "model", "--set", "map.kind=cca"];
    assert_status(&run(dir, &[&train[..], &in_place].concat()), 0);
    assert_eq!(
        out(&run(dir, &["search", "a red square", "--library", "lib", "--json"])),
        out(&named)
    );
}

#[test]
fn a_starter_is_not_written_to() {
    let dir = data();
    let train = ["train", "map", "emoji", "--model", "emoji-starter"];
    assert_fails(&run(dir.path(), &train), 2, "built in", "--out RUN");
}

#[test]
fn what_a_starter_knows_stays_beside_a_map_of_ones_own() {
    let dir = data();
    let train = ["train", "map", "csv:captions.csv", "--model", "emoji-starter", "--out", "mine"];
    let train = [&train[..], &["--set", "map.epochs=2", "--set", "map.kind=linear"]].concat();
    let output = run(dir.path(), &train);
    assert_status(&output, 0);
    assert!(err(&output).contains("the map before"), "{}", err(&output));
    let alone = ["--out", "alone", "--set", "map.previous=false"];
    let output = run(dir.path(), &[&train[..5], &alone, &train[7..]].concat());
    assert_status(&output, 0);
    assert!(!err(&output).contains("the map before"), "{}", err(&output));
}
