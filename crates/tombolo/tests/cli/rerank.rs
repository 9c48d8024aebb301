//! The best hits judged again by a network that sees text and photo together: `parity/blip/tiny`, random weights, so what
//! it prefers means nothing, but that its order is followed does.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::{assert_fails, assert_status, copy, copy_of_trained, out, run};

/// A trained model, a library `lib` of its photos, and `blip`.
fn with_judge() -> TempDir {
    let dir = copy_of_trained();
    let blip = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../parity/blip/tiny");
    copy(&blip, &dir.path().join("blip"));
    let index = ["index", "photos", "--model", "model", "--library", "lib"];
    assert_status(&run(dir.path(), &index), 0);
    dir
}

fn search(dir: &Path, flags: &[&str]) -> Vec<Value> {
    let all = [&["search", "a red square", "--library", "lib", "--json"], flags].concat();
    let output = run(dir, &all);
    assert_status(&output, 0);
    out(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn paths(hits: &[Value]) -> Vec<&str> {
    hits.iter().map(|hit| hit["path"].as_str().unwrap()).collect()
}

#[test]
fn the_best_hits_are_ordered_by_the_judge_and_the_rest_stays() {
    let dir = with_judge();
    let plain = search(dir.path(), &["--top", "12"]);
    let judged = search(dir.path(), &["--top", "12", "--rerank", "blip", "--rerank-top", "8"]);
    let matching: Vec<f64> = judged[..8].iter().map(|hit| hit["match"].as_f64().unwrap()).collect();
    assert!(matching.iter().all(|p| (0.0..=1.0).contains(p)));
    assert!(matching.windows(2).all(|pair| pair[0] >= pair[1]), "{matching:?}");
    let sorted = |hits: &[Value]| {
        let mut paths: Vec<String> = paths(hits).into_iter().map(str::to_owned).collect();
        paths.sort();
        paths
    };
    assert_eq!(sorted(&judged[..8]), sorted(&plain[..8]), "the same photos");
    assert_ne!(paths(&judged[..8]), paths(&plain[..8]), "in another order");
    assert_eq!(paths(&judged[8..]), paths(&plain[8..]));
    assert!(judged[8..].iter().all(|hit| hit["match"].is_null()));
    assert!(
        judged.iter().zip(1..).all(|(hit, rank)| hit["rank"] == rank && hit["cursor"].is_null())
    );

    // A page that is shorter than what is judged: the best of all that was.
    let few = search(dir.path(), &["--top", "3", "--rerank", "blip", "--rerank-top", "8"]);
    assert_eq!(paths(&few), paths(&judged[..3]));
}

#[test]
fn a_photo_that_is_gone_is_named_and_stands_behind_those_that_were_judged() {
    let dir = with_judge();
    let plain = search(dir.path(), &["--top", "5"]);
    let gone = plain[0]["path"].as_str().unwrap();
    std::fs::remove_file(gone).unwrap();
    let judge = ["search", "red", "--library", "lib", "--rerank", "blip", "--rerank-top", "5"];
    let output = run(dir.path(), &[&judge[..], &["--top", "6", "--json"]].concat());
    assert_status(&output, 3);
    let judged: Vec<Value> =
        out(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(judged[4]["path"], gone);
    assert!(judged[4]["match"].is_null() && judged[3]["match"].is_number());
}

#[test]
fn what_a_judge_cannot_do_is_refused_with_a_hint() {
    let dir = with_judge();
    let search = |flags: &[&str]| {
        let library = ["--library", "lib", "--rerank", "blip"];
        run(dir.path(), &[&["search"], flags, &library[..]].concat())
    };
    assert_fails(&search(&["red AND NOT blue"]), 2, "words alone", "set expressions");
    assert_fails(&search(&["red", "--subtract", "blue"]), 2, "words alone", "--subtract");
    assert_fails(&search(&["--image", "photos/red-left.png"]), 2, "words alone", "photos");
    assert_fails(&search(&["red", "--sort", "newest"]), 2, "one page", "--sort");
    let other = ["search", "red", "--library", "lib", "--rerank", "model"];
    assert_fails(&run(dir.path(), &other), 2, "", "");
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../parity/clip/tiny");
    copy(&clip, &dir.path().join("clip"));
    let other = ["search", "red", "--library", "lib", "--rerank", "clip"];
    assert_fails(&run(dir.path(), &other), 2, "which can re-rank, found clip", "matching head");
}

#[test]
fn eval_ranks_the_best_of_each_query_by_the_judge() {
    let dir = with_judge();
    let eval = |flags: &[&str]| {
        let plain = ["eval", "csv:captions.csv", "--split", "val", "--model", "model", "--json"];
        let output = run(dir.path(), &[&plain[..], flags].concat());
        assert_status(&output, 0);
        serde_json::from_str::<Value>(&out(&output)).unwrap()
    };
    let (plain, judged) = (eval(&[]), eval(&["--rerank", "blip", "--rerank-top", "3"]));
    assert_eq!(judged["rerank"], serde_json::json!({ "model": "blip", "top": 3 }));
    assert!(plain["rerank"].is_null());
    // Beyond the third place nothing changes, so that neither does what is found among four images of all four.
    assert_eq!(judged["text_to_image"]["recall@5"], plain["text_to_image"]["recall@5"]);
    assert_ne!(judged["text_to_image"], plain["text_to_image"]);
    // One candidate has nothing to be ordered against.
    let one = eval(&["--rerank", "blip", "--rerank-top", "1"]);
    for direction in ["text_to_image", "image_to_text"] {
        assert_eq!(one[direction]["mean_rank"], plain[direction]["mean_rank"]);
    }
    // What is perturbed is judged as it was perturbed: colours that are turned do not matter to one candidate, and do to three.
    let perturbed = |top: &str| {
        let flags = ["--rerank", "blip", "--rerank-top", top, "--perturb", "char_swap,color@5"];
        eval(&flags)["perturbations"].clone()
    };
    let (plain, one, three) =
        (eval(&["--perturb", "char_swap,color@5"]), perturbed("1"), perturbed("3"));
    for name in ["char_swap", "color@5"] {
        let rank = |of: &Value| of[name]["text_to_image"]["mean_rank"].clone();
        assert_eq!(rank(&one), rank(&plain["perturbations"]), "{name}");
        assert_ne!(three[name]["text_to_image"], one[name]["text_to_image"], "{name}");
    }
}
