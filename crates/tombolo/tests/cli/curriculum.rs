//! The curriculum, further positives, and what is refused before anything is trained.

use std::path::Path;

use super::{
    assert_fails, assert_status, copy_of_trained, data, parts, run, train_under_kills, trained,
};

const TRAIN: [&str; 4] = ["train", "csv:captions.csv", "--config", "settings.toml"];

fn train(dir: &Path, arguments: &[&str]) {
    assert_status(&run(dir, &[&TRAIN[..], arguments].concat()), 0);
}

/// What `model.toml` records of a group.
fn recall(run: &Path, group: usize) -> Option<f64> {
    let text = std::fs::read_to_string(run.join("model.toml")).unwrap();
    let name = format!("\"val.group{group}.image_to_text.recall@1\" = ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.map(|value| value.parse().unwrap())
}

#[test]
fn a_curriculum_trains_in_every_order_and_records_each_group() {
    let dir = data();
    for order in ["paper", "reversed", "mixed"] {
        train(dir.path(), &["--out", order, "--set", &format!("curriculum.order={order}")]);
        for group in 1..=3 {
            assert!((0.0..=1.0).contains(&recall(&dir.path().join(order), group).unwrap()));
        }
    }
    let map = |run: &str| std::fs::read(dir.path().join(run).join("map.safetensors")).unwrap();
    assert_ne!(map("paper"), map("reversed"));
    assert_ne!(map("paper"), map("mixed"));
    assert_eq!(recall(&trained().join("model"), 1), None);
}

#[test]
fn a_model_of_one_group_is_tested_on_the_others_whatever_the_map() {
    let dir = data();
    // A closed form sees all pairs of its groups at once: it has no order.
    for (kind, order) in [("mlp", "paper"), ("ridge", "mixed")] {
        let settings = [&format!("map.kind={kind}"), &format!("curriculum.order={order}")];
        let settings = [settings[0].as_str(), settings[1], "curriculum.groups=[1]"];
        let settings = settings.map(|setting| ["--set", setting]).concat();
        train(dir.path(), &[&["--out", kind][..], &settings].concat());
        assert!(recall(&dir.path().join(kind), 2).is_some());
        assert!(recall(&dir.path().join(kind), 3).is_some());
    }
}

#[test]
fn counted_objects_decide_where_there_are_counts() {
    let dir = data();
    let captions = std::fs::read_to_string(dir.path().join("captions.csv")).unwrap();
    let counted = |objects: &str| {
        let lines = captions.lines().enumerate().map(|(number, line)| match number {
            0 => format!("{line},objects\n"),
            _ => format!("{line},{objects}\n"),
        });
        std::fs::write(dir.path().join("captions.csv"), lines.collect::<String>()).unwrap();
    };
    counted("1");
    let one = ["--set", "curriculum.order=paper", "--set", "curriculum.groups=[1, 2]"];
    train(dir.path(), &[&["--out", "one"][..], &one].concat());
    assert!(recall(&dir.path().join("one"), 1).is_some());
    assert_eq!(recall(&dir.path().join("one"), 3), None);
    counted("4");
    let output = run(dir.path(), &[&TRAIN[..], &["--out", "many"], &one].concat());
    assert_fails(&output, 2, "group 1 of the curriculum", "counted object");
}

#[test]
fn a_killed_curriculum_and_stage_joint_resume_to_the_same_model() {
    let dir = data();
    let stages = ["--stages", "text,image,map,joint", "--set", "joint.epochs=6"];
    let order = ["--set", "curriculum.order=mixed", "--set", "joint.batch=8"];
    let arguments = [&stages[..], &order].concat();
    train(dir.path(), &[&arguments[..], &["--out", "whole"]].concat());
    let train = [&TRAIN[..], &arguments, &["--out", "killed"]].concat();
    train_under_kills(dir.path(), &train, "killed");
    assert_eq!(parts(&dir.path().join("killed")), parts(&dir.path().join("whole")));
}

#[test]
fn views_of_photos_are_further_positives_and_stay_out_of_the_model() {
    let dir = data();
    let views = ["--set", "image.views=[\"mirror\", \"crop\", \"color\"]"];
    train(dir.path(), &[&["--out", "views"][..], &views].concat());
    let (plain, views) = (parts(&trained().join("model")), parts(&dir.path().join("views")));
    assert_eq!(plain[0], views[0], "stage text");
    assert_ne!(plain[1], views[1], "stage image");
    let wrong = ["--out", "wrong", "--set", "image.views=[\"zoom\"]"];
    assert_fails(&run(dir.path(), &[&TRAIN[..], &wrong].concat()), 2, "image.views", "");
}

#[test]
fn copies_of_captions_are_further_positives() {
    let dir = data();
    let copies = ["--set", "text.copies=[\"char_swap\", \"synonym_noun\"]"];
    train(dir.path(), &[&["--out", "copies"][..], &copies].concat());
    let (plain, copies) = (parts(&trained().join("model")), parts(&dir.path().join("copies")));
    assert_ne!(plain[0], copies[0]);
    let wrong = ["--out", "wrong", "--set", "text.copies=[\"char_swop\"]"];
    let output = run(dir.path(), &[&TRAIN[..], &wrong].concat());
    assert_fails(&output, 2, "did you mean `char_swap`?", "");
}

#[test]
fn a_mistyped_backbone_is_refused_before_anything_is_trained() {
    let dir = copy_of_trained();
    for (key, name, hint) in [
        ("image.backbone", "efficientnet-lite9", "efficientnet-lite"),
        ("text.backbone", "all-minilm", "all-minilm-l6-v2"),
    ] {
        let set = format!("{key}={name}");
        let output = run(dir.path(), &[&TRAIN[..], &["--out", "m", "--set", &set]].concat());
        assert_fails(&output, 2, name, hint);
        assert!(!dir.path().join("m.partial").exists());
    }
}
