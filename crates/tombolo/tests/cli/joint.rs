//! Stage joint, and training with other losses and on fewer pairs.

use super::{assert_fails, assert_status, copy_of_trained, data, err, out, parts, run, trained};

const TRAIN: [&str; 4] = ["train", "csv:captions.csv", "--config", "settings.toml"];

#[test]
fn stage_joint_moves_every_part_and_the_parts_still_belong_together() {
    let dir = copy_of_trained();
    let joint =
        ["--stages", "joint", "--model", "model", "--out", "joint", "--set", "joint.epochs=2"];
    let output = run(dir.path(), &[&TRAIN[..], &joint, &["--set", "joint.batch=8"]].concat());
    assert_status(&output, 0);
    let (before, after) = (parts(&trained().join("model")), parts(&dir.path().join("joint")));
    assert!(before.iter().zip(&after).all(|(before, after)| before != after));
    assert_eq!(parts(&dir.path().join("model")), before, "the model that it started from");
    let eval = ["eval", "csv:captions.csv", "--split", "val", "--model", "joint", "--json"];
    let output = run(dir.path(), &eval);
    assert_status(&output, 0);
    assert!(out(&output).contains("\"rsum\""));
}

#[test]
fn stage_joint_needs_a_map() {
    let dir = data();
    let alone = ["--stages", "text,image,joint", "--out", "model"];
    assert_fails(&run(dir.path(), &[&TRAIN[..], &alone].concat()), 2, "joint", "map");
}

#[test]
fn stage_joint_needs_a_map_that_no_new_tower_makes_stale() {
    let dir = copy_of_trained();
    let joint = ["--stages", "text,joint", "--model", "model", "--out", "joint"];
    let output = run(dir.path(), &[&TRAIN[..], &joint].concat());
    assert_fails(&output, 2, "stale", "text,map,joint");
}

#[test]
fn stages_are_named_once() {
    let dir = data();
    let twice = ["train", "map", "csv:captions.csv", "--stages", "text", "--out", "model"];
    assert_fails(&run(dir.path(), &twice), 2, "--stages", "leave out");
}

#[test]
fn the_map_before_stands_beside_a_new_one_of_the_same_towers() {
    let dir = copy_of_trained();
    let train = ["train", "csv:captions.csv", "--config", "settings.toml"];
    let previous = ["--set", "map.previous=true"];
    let map = ["--stages", "map", "--model", "model", "--out", "both", "--set", "map.pairs=8"];
    let output = run(dir.path(), &[&train[..], &map, &previous].concat());
    assert_status(&output, 0);
    assert!(err(&output).contains("the map before"), "{}", err(&output));
    let map = |run: &str| {
        let path = dir.path().join(run).join("map.safetensors");
        tombolo_models::map::Map::load(&path, &candle_core::Device::Cpu).unwrap().0
    };
    // The new one and cca beside it, then the same two of before.
    let (before, both) = (map("model").config(), map("both").config());
    let beside: Vec<_> = both.beside.iter().map(|beside| &beside.text).collect();
    assert_eq!(beside, [&before.beside[0].text, &before.text, &before.beside[0].text]);
    assert!((map("both").weight() - 10.0).abs() < 1e-9, "four fifths of a score: 8 for 2");
    let again = ["--stages", "map", "--model", "both", "--out", "again", "--set", "map.pairs=8"];
    let output = run(dir.path(), &[&train[..], &again].concat());
    assert_status(&output, 0);
    assert!(
        err(&output).contains("warning: the map of both had one of before"),
        "{}",
        err(&output)
    );
    let eval = ["eval", "csv:captions.csv", "--split", "val", "--model", "both"];
    assert_status(&run(dir.path(), &eval), 0);

    for stages in ["text,map", "joint"] {
        let other = ["--stages", stages, "--model", "model", "--out", "other"];
        let output = run(dir.path(), &[&train[..], &other, &previous].concat());
        assert_fails(&output, 2, "map.previous", "");
        assert!(!dir.path().join("other.partial").exists());
    }
}

#[test]
fn classes_are_of_networks_that_know_some() {
    let dir = copy_of_trained();
    let map = ["train", "map", "csv:captions.csv", "--config", "settings.toml", "--model", "model"];
    let output = run(dir.path(), &[&map[..], &["--set", "map.classes=true"]].concat());
    assert_fails(&output, 2, "map.classes", "");
}

#[test]
fn settings_that_leave_nothing_to_train_are_refused() {
    let dir = data();
    for (setting, hint) in [("text.output=0", "needs a backbone"), ("map.batch=0", "at least 1")] {
        let output = run(dir.path(), &[&TRAIN[..], &["--out", "m", "--set", setting]].concat());
        assert_status(&output, 2);
        assert!(err(&output).contains(hint), "{}", err(&output));
        assert!(!dir.path().join("m.partial").exists());
    }
}

#[test]
fn every_loss_trains_every_stage() {
    let dir = data();
    let losses =
        ["infonce", "supcon", "siglip", "triplet-sum", "triplet-hardest", "paper-signed", "paper"];
    for loss in losses {
        let settings = ["text", "image", "map"].map(|stage| format!("{stage}.loss={loss}"));
        let settings = settings.iter().flat_map(|setting| ["--set", setting.as_str()]);
        let few = ["--set", "text.epochs=1", "--set", "image.epochs=1", "--set", "map.epochs=3"];
        let arguments = [&TRAIN[..], &["--out", loss], &few].concat();
        let arguments: Vec<&str> = arguments.into_iter().chain(settings).collect();
        assert_status(&run(dir.path(), &arguments), 0);
    }
}

#[test]
fn a_map_of_few_pairs_and_a_tower_without_reference_train() {
    let dir = data();
    let settings = ["map.pairs=8", "map.kind=ridge", "text.reference=false"];
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    let arguments: Vec<&str> = TRAIN.into_iter().chain(["--out", "few"]).chain(settings).collect();
    let output = run(dir.path(), &arguments);
    assert_status(&output, 0);
    assert!(err(&output).contains("regularisation"), "{}", err(&output));
}
