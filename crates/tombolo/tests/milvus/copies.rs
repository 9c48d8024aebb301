//! What comes into a collection, and how.

use std::sync::atomic::Ordering::Relaxed;

use serde_json::Value;

use super::proxy::proxy;
use super::{
    assert_refused, assert_same, collection, copy, done, draw, hits, index, photos, run, server,
};

#[test]
fn a_copy_follows_the_library() {
    let Some(server) = server() else { return };
    let dir = photos();
    let dir = dir.path();
    index(dir);
    let cluster = collection(&server, "follows");
    assert_eq!(copy(dir, &cluster), [29, 29, 0]);
    assert_eq!(copy(dir, &cluster), [29, 0, 0]);

    std::fs::remove_file(dir.join("photos/again.png")).unwrap();
    std::fs::write(dir.join("photos/even/IMG_1 red.txt"), "new words").unwrap();
    draw([1, 2, 3], 1).save(dir.join("photos/new.png")).unwrap();
    done(&run(dir, &["index", "photos", "--library", "lib"]));
    assert_eq!(copy(dir, &cluster), [29, 2, 1]);
    assert_eq!(assert_same(dir, &cluster, &["red", "--top", "40"]), 29);
    assert_same(dir, &cluster, &["--sort", "newest", "--top", "40"]);
}

#[test]
fn photos_are_indexed_straight_into_a_collection() {
    let Some(server) = server() else { return };
    let dir = photos();
    let dir = dir.path();
    index(dir);
    let cluster = collection(&server, "straight");
    let straight = ["index", "photos", "--library", &cluster, "--tags", "tags.csv", "--json"];
    let said = done(&run(dir, &[&straight[..], &["--model", "emoji-starter"]].concat()));
    let said: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&said[0]["added"], &said[1]["sent"]), (&29.into(), &29.into()));
    let paths = |library: &str| {
        let hits = hits(dir, library, &["red", "--top", "40"]);
        hits.iter().map(|hit| hit["path"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(paths(&cluster), paths("lib"));
    std::fs::remove_file(dir.join("photos/again.png")).unwrap();
    done(&run(dir, &straight));
    assert_eq!(paths(&cluster).len(), 28);
    let nobody = ["index", "photos", "--library", "milvus://127.0.0.1:1/photos"];
    assert_eq!(run(dir, &nobody).status.code(), Some(1));
}

#[test]
fn parts_of_a_collection_are_brought_by_several() {
    let Some(server) = server() else { return };
    let dir = photos();
    let dir = dir.path();
    index(dir);
    let cluster = collection(&server, "parts");
    let part = |part: &str| {
        let flags = ["--shard", part, "--library", part.split_once('/').unwrap().0];
        let index = ["index", "photos", "--model", "emoji-starter", "--tags", "tags.csv"];
        done(&run(dir, &[&index[..], &flags].concat()));
        let copy = ["library", "copy", flags[3], &cluster, "--shard", part, "--json"];
        let said: Value = serde_json::from_str(&done(&run(dir, &copy))).unwrap();
        ["photos", "sent", "removed"].map(|name| said[name].as_u64().unwrap())
    };
    let [first, second] = [part("0/2"), part("1/2")];
    let wrong = ["library", "copy", "1", &cluster, "--shard", "0/2"];
    assert_refused(&run(dir, &wrong), "not of part 0/2", "indexed with");
    assert_eq!((first[0] + second[0], first[1] + second[1]), (29, 29));
    assert_eq!((first[2], second[2]), (0, 0));
    let all = hits(dir, &cluster, &["--sort", "newest", "--top", "40"]);
    assert_eq!(all.len(), 29);
    std::fs::remove_file(dir.join("photos/again.png")).unwrap();
    let again = [part("0/2"), part("1/2")];
    assert_eq!(again[0][1] + again[1][1], 0);
    assert_eq!(again[0][2] + again[1][2], 1);
}

#[test]
fn a_copy_that_was_cut_off_goes_on() {
    let Some(server) = server() else { return };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::create_dir(dir.join("photos")).unwrap();
    for number in 0..1_200_u32 {
        let colour = [number % 256, number / 256 * 40, 99].map(|x| x as u8);
        draw(colour, number % 4).save(dir.join(format!("photos/{number:04}.png"))).unwrap();
    }
    let arguments = ["index", "photos", "--library", "lib", "--model", "emoji-starter"];
    done(&run(dir, &arguments));

    let (address, passed) = proxy(&server, usize::MAX);
    assert_eq!(copy(dir, &collection(&address, "whole")), [1200, 1200, 0]);
    // Two batches of 500 are sent, and of the third a part.
    let (address, _) = proxy(&server, passed.load(Relaxed) * 9 / 10);
    let through = collection(&address, "cut");
    let cut = run(dir, &["library", "copy", "lib", &through]);
    let said = String::from_utf8_lossy(&cut.stderr).into_owned();
    assert_eq!(cut.status.code(), Some(1), "{said}");
    assert!(said.contains("goes on"), "{said}");

    let cluster = through.replace(&address, &server);
    let shown = hits(dir, &cluster, &["--sort", "newest", "--top", "2000"]).len();
    assert_eq!(shown, 1000);
    assert_eq!(copy(dir, &cluster), [1200, 200, 0]);
    for query in ["red", "red AND NOT circle", "a blue square OR green"] {
        assert_eq!(assert_same(dir, &cluster, &[query]), 10);
    }
    assert_eq!(assert_same(dir, &cluster, &["red", "--top", "1200"]), 1200);
}
