//! What a library can be asked beyond a plain search, and how it is looked after.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::{
    assert_fails, assert_status, command, copy, copy_of_trained, data, draw, err, out, run,
};

/// The documents that `--json` prints, one a line.
pub fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A library `lib` of the drawn pictures.
fn indexed() -> TempDir {
    let dir = data();
    let index = ["index", "photos", "--library", "lib", "--model", "emoji-starter", "--quiet"];
    assert_status(&run(dir.path(), &index), 0);
    dir
}

/// Hits of a search in `lib`.
fn search(dir: &Path, arguments: &[&str]) -> Vec<Value> {
    let all = [&["search", "--library", "lib", "--json"], arguments].concat();
    let found = run(dir, &all);
    assert_status(&found, 0);
    lines(&out(&found))
}

fn names(hits: &[Value]) -> Vec<String> {
    let name =
        |hit: &Value| Path::new(hit["path"].as_str().unwrap()).file_stem().unwrap().to_owned();
    hits.iter().map(|hit| name(hit).into_string().unwrap()).collect()
}

#[test]
fn a_set_expression_has_probabilities_and_a_wrong_one_a_column() {
    let dir = indexed();
    let dir = dir.path();
    let found = search(dir, &["red AND NOT (blue OR green)", "--top", "24"]);
    assert_eq!(found.len(), 24);
    let probabilities: Vec<f64> =
        found.iter().map(|hit| hit["probability"].as_f64().unwrap()).collect();
    assert!(probabilities.windows(2).all(|pair| pair[0] >= pair[1]));
    assert!(found.iter().all(|hit| hit["score"] == hit["probability"]));
    let cut = format!("{}", 0.5 * (probabilities[4] + probabilities[5]));
    let sure =
        search(dir, &["red AND NOT (blue OR green)", "--min-probability", &cut, "--top", "24"]);
    assert_eq!(sure.len(), 5);
    let photo = search(dir, &["image:photos/red-left.png AND red"]);
    assert_eq!(photo.len(), 10);

    let library = ["--library", "lib"];
    let wrong = |query: &str| run(dir, &[&["search", query], &library[..]].concat());
    assert_fails(&wrong("red AND"), 2, "column 8: expected words", "joined by AND");
    assert_fails(&wrong("(red"), 2, "column 1: expected ) to close", "close it");
    assert_fails(&wrong("image:none.png AND red"), 2, "none.png", "");
    let mixed = ["search", "red AND blue", "--add", "green", "--library", "lib"];
    assert_fails(&run(dir, &mixed), 2, "cannot be added to", "AND NOT");
}

#[test]
fn filters_orders_and_pages_go_together() {
    let dir = indexed();
    let dir = dir.path();
    let red = search(dir, &["a circle", "--path", "*/red-*", "--top", "24"]);
    assert_eq!(red.len(), 4);
    assert!(names(&red).iter().all(|name| name.starts_with("red-")));
    let folder = search(dir, &["--sort", "oldest", "--folder", "photos", "--top", "24"]);
    assert_eq!(folder.len(), 24);
    assert!(folder[0]["score"].is_null() && folder[0]["probability"].is_null());
    for sort in ["match", "newest"] {
        let query =
            if sort == "match" { vec!["red", "--sort", sort] } else { vec!["--sort", sort] };
        let whole = names(&search(dir, &[&query[..], &["--top", "24"]].concat()));
        let mut pages = search(dir, &[&query[..], &["--top", "7"]].concat());
        while pages.len() < 24 {
            let cursor = pages.last().unwrap()["cursor"].as_str().unwrap().to_owned();
            let next = search(dir, &[&query[..], &["--top", "7", "--after", &cursor]].concat());
            assert!(!next.is_empty());
            pages.extend(next);
        }
        assert_eq!(names(&pages), whole);
    }
    let none = run(dir, &["search", "red", "--library", "lib", "--orientation", "portrait"]);
    assert!(out(&none).is_empty() && err(&none).contains("no photo passes the filters"));
    let wrong = ["search", "red", "--library", "lib", "--taken-from", "soon"];
    assert_fails(&run(dir, &wrong), 2, "taken_from", "year first");
    let nothing = ["search", "--library", "lib"];
    assert_fails(&run(dir, &nothing), 2, "nothing to look for", "give words");
}

#[test]
fn tags_come_from_a_csv_file() {
    let dir = data();
    let dir = dir.path();
    std::fs::write(
        dir.join("tags.csv"),
        "image,tags\nphotos/red-left.png,warm;mine\nphotos/blue-top.png,mine\n",
    )
    .unwrap();
    let index =
        ["index", "photos", "--library", "lib", "--model", "emoji-starter", "--tags", "tags.csv"];
    assert_status(&run(dir, &index), 0);
    let mut mine = names(&search(dir, &["--sort", "newest", "--tag", "mine"]));
    mine.sort();
    assert_eq!(mine, ["blue-top", "red-left"]);
    assert_eq!(names(&search(dir, &["red", "--tag", "mine", "--tag", "warm"])), ["red-left"]);
    // However a path is spelled, it is the photo's.
    std::fs::write(
        dir.join("tags.csv"),
        "image,tags\n./photos/../photos/green-top.png,odd\nphotos/gone.png,odd\n",
    )
    .unwrap();
    let indexed = run(dir, &index);
    assert_status(&indexed, 0);
    assert!(err(&indexed).contains("1 of the photos that it names are not there"));
    assert_eq!(names(&search(dir, &["red", "--tag", "odd"])), ["green-top"]);
    let below = search(dir, &["red", "--folder", "photos/../photos", "--top", "30"]);
    assert_eq!(below.len(), 24);
}

#[test]
fn several_libraries_answer_together_and_another_map_at_once() {
    let dir = copy_of_trained();
    let dir = dir.path();
    std::fs::create_dir(dir.join("more")).unwrap();
    draw([220, 30, 30], "top").save(dir.join("more/another.png")).unwrap();
    for (folder, library) in [("photos", "lib"), ("more", "lib2")] {
        assert_status(&run(dir, &["index", folder, "--model", "model", "--library", library]), 0);
    }
    let both = search(dir, &["a red square on the top", "--library", "lib2", "--top", "25"]);
    assert_eq!(both.len(), 25);
    assert!(names(&both).contains(&"another".to_owned()));
    assert!(both.windows(2).all(|pair| pair[0]["score"].as_f64() >= pair[1]["score"].as_f64()));
    assert_eq!(both[24]["rank"], 25);

    let train =
        ["train", "map", "csv:captions.csv", "--config", "settings.toml", "--model", "model"];
    assert_status(
        &run(dir, &[&train[..], &["--out", "other", "--set", "map.kind=cca"]].concat()),
        0,
    );
    let own = search(dir, &["a red square"]);
    let other = search(dir, &["a red square", "--map", "other"]);
    assert_ne!(own[0]["score"], other[0]["score"]);
    assert_eq!(other, search(dir, &["a red square", "--model", "other"]));
    let stranger = ["search", "red", "--library", "lib", "--map", "emoji-starter"];
    assert_fails(&run(dir, &stranger), 2, "text", "map");
}

#[test]
fn a_library_is_checked_compacted_and_taken_elsewhere() {
    let dir = indexed();
    let dir = dir.path();
    let library = |work: &str| run(dir, &["library", work, "--library", "lib", "--json"]);
    let told = |output: &std::process::Output| lines(&out(output)).remove(0);
    std::fs::remove_file(dir.join("photos/red-left.png")).unwrap();
    assert_status(&run(dir, &["index", "photos", "--library", "lib", "--quiet"]), 0);
    let checked = library("check");
    assert_status(&checked, 0);
    assert_eq!((&told(&checked)["photos"], &told(&checked)["unused"]), (&23.into(), &1.into()));
    let before = search(dir, &["red", "--top", "30"]);
    assert_eq!(told(&library("compact"))["rows"], 1);
    let plain = |hits: &[Value]| -> Vec<_> {
        hits.iter().map(|hit| (hit["path"].clone(), hit["score"].clone())).collect()
    };
    assert_eq!(plain(&search(dir, &["red", "--top", "30"])), plain(&before));

    let export = ["library", "export", "--library", "lib", "--out", "taken", "--json"];
    let exported = run(dir, &export);
    assert_status(&exported, 0);
    let dim = told(&exported)["dim"].as_u64().unwrap();
    let shape = std::fs::read_to_string(dir.join("taken/shape.json")).unwrap();
    assert_eq!(lines(&shape.replace('\n', ""))[0]["dim"], dim);
    let items = lines(&std::fs::read_to_string(dir.join("taken/items.jsonl")).unwrap());
    assert_eq!(items.len(), 23);
    assert_eq!(dir.join("taken/vectors.f16").metadata().unwrap().len(), 23 * dim * 2);
    assert_fails(&run(dir, &export), 2, "is there already", "name a folder that is not");

    let segment = std::fs::read_dir(dir.join("lib/vectors-1")).unwrap().next().unwrap().unwrap();
    std::fs::write(segment.path(), "short").unwrap();
    assert_fails(&library("check"), 2, ": 1 problem\n", "library repair");
    assert_eq!(told(&library("repair"))["forgotten"], 23);
    assert_status(&run(dir, &["index", "photos", "--library", "lib", "--quiet"]), 0);
    assert_eq!(plain(&search(dir, &["red", "--top", "30"])), plain(&before));
}

#[test]
fn duplicates_are_named() {
    let dir = indexed();
    let dir = dir.path();
    std::fs::copy(dir.join("photos/red-left.png"), dir.join("photos/zopy.png")).unwrap();
    assert_status(&run(dir, &["index", "photos", "--library", "lib", "--quiet"]), 0);
    let found = run(dir, &["duplicates", "--library", "lib", "--likeness", "1", "--json"]);
    assert_status(&found, 0);
    let groups = lines(&out(&found));
    assert_eq!((groups.len(), &groups[0]["exact"]), (1, &true.into()));
    let spare = run(dir, &["duplicates", "--library", "lib", "--likeness", "1", "-0"]);
    assert!(out(&spare).ends_with("zopy.png\0"));
    assert_status(&run(dir, &["duplicates", "--library", "lib", "--likeness", "2"]), 2);
}

#[test]
fn what_the_user_can_mend_is_told_so() {
    let dir = indexed();
    let dir = dir.path();
    std::fs::rename(dir.join("lib"), dir.join("library")).unwrap();
    assert_fails(&run(dir, &["quickstart", "--dir", "."]), 2, "photos of yours", "another --dir");

    std::fs::write(dir.join("latin1.txt"), b"caf\xe9\n").unwrap();
    let embed = |input: &str, out: &str| {
        run(dir, &["embed", input, "--model", "emoji-starter", "--out", out])
    };
    assert_fails(&embed("latin1.txt", "v.npy"), 2, "latin1.txt", "UTF-8");
    assert_fails(&embed("red", "nowhere/v.npy"), 2, "no folder nowhere", "make it first");
    assert_fails(&embed("none.txt", "v.npy"), 2, "no such file", "one by one");
    assert_fails(&embed("photos/", "v.npy"), 2, "a folder", "one by one");
    assert_status(&embed("photos", "v.npy"), 0);
    std::fs::write(dir.join("latin1.csv"), b"image,caption\na.png,caf\xe9\n").unwrap();
    let data = |set: &str| run(dir, &["data", set]);
    assert_fails(&data("csv:latin1.csv"), 2, "latin1.csv, line 2: expected UTF-8", "save it");
    assert_fails(&data("cvs:captions.csv"), 2, "cvs", "did you mean `csv:captions.csv`");
    std::fs::write(dir.join("semicolons.csv"), "image;caption\na.png;red\n").unwrap();
    assert_fails(&data("csv:semicolons.csv"), 2, "column", "this file has semicolons");

    let library = ["--library", "library"];
    let serve = |more: &[&str]| run(dir, &[&["serve"], &library[..], more].concat());
    assert_fails(&serve(&["--token-file", "none"]), 2, "cannot be read", "--token-file");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert_fails(&serve(&["--bind", &address]), 2, "cannot listen", "another --bind");

    let search = [&["search", "red", "-0"], &library[..]].concat();
    assert_fails(&run(dir, &[&search[..], &["--json"]].concat()), 2, "--null and --json", "");
    let found = command(dir, &search).env("TOMBOLO_JSON", "false").output().unwrap();
    assert_status(&found, 0);
    assert_eq!(found.stdout.iter().filter(|&&byte| byte == 0).count(), 10);
    assert_status(&run(dir, &[&search[..], &["--threads", "100000"]].concat()), 2);
}

#[test]
fn a_disk_that_is_not_mounted_loses_no_photo() {
    let dir = indexed();
    let dir = dir.path();
    let index = |more: &[&str]| {
        let index = ["index", "photos", "--library", "lib", "--json"];
        run(dir, &[&index[..], more].concat())
    };
    std::fs::rename(dir.join("photos"), dir.join("elsewhere")).unwrap();
    std::fs::create_dir(dir.join("photos")).unwrap();
    let output = index(&[]);
    assert_status(&output, 3);
    assert!(err(&output).contains("holds 24 photos of it, which it keeps"), "{}", err(&output));
    assert_eq!(lines(&out(&output))[0]["forgotten"], 0);
    let output = index(&["--forget-all"]);
    assert_status(&output, 0);
    assert_eq!(lines(&out(&output))[0]["forgotten"], 24);

    let nowhere = run(dir, &["index", "nowhere", "--library", "new", "--model", "emoji-starter"]);
    assert_fails(&nowhere, 2, "no such file or folder", "check the path");
    assert!(!dir.join("new").exists(), "and no library is made");
}

#[test]
fn models_are_told_by_their_names() {
    let dir = indexed();
    let dir = dir.path();
    copy(&super::trained().join("model"), &dir.join("model"));
    let search = |more: &[&str]| run(dir, &[&["search", "red", "--library", "lib"], more].concat());
    let other = search(&["--model", "model"]);
    assert_fails(&other, 2, "lib was indexed with emoji-starter, and model", "leave out --model");
    assert_fails(&search(&["--map", "none"]), 2, "no run with a map", "train map");
    assert_fails(
        &search(&["--model", "emoji-startr"]),
        2,
        "no model",
        "did you mean emoji-starter",
    );
    let backbone = search(&["--model", "efficientnet-lite0"]);
    assert_fails(&backbone, 2, "a backbone, and no model", "--set image.backbone");

    let train = |more: &[&str]| run(dir, &[&["train", "csv:captions.csv"], more].concat());
    let all = train(&["--model", "emoji-starter", "--out", "mine"]);
    assert_fails(&all, 2, "none of it is kept", "tombolo train map");
    assert_fails(&train(&["--out", "a", "--config", "none.toml"]), 2, "no such file", "model.toml");
    let kept = ["--stages", "map", "--model", "model", "--out", "mine", "--set", "map.epochs=2"];
    let kept = train(&[&kept[..], &["--set", "text.epochs=7"]].concat());
    assert_status(&kept, 0);
    assert!(err(&kept).contains("--set text.epochs has no effect"), "{}", err(&kept));
    assert!(!err(&kept).contains("--set map.epochs"), "{}", err(&kept));
    assert!(err(&kept).contains("too few validation pairs"), "{}", err(&kept));

    let none = ["train", "folder:photos", "--config", "settings.toml", "--out", "nothing"];
    assert_status(&run(dir, &none), 2);
    assert!(!dir.join("nothing.partial").exists(), "nothing was trained, so nothing is left");
}

#[test]
fn a_watched_folder_is_indexed_again_when_it_changes() {
    let dir = data();
    let index =
        ["index", "photos", "--library", "lib", "--model", "emoji-starter", "--watch", "--json"];
    let mut child =
        command(dir.path(), &index).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&told.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["added"], 24);
    std::thread::sleep(Duration::from_millis(200));
    // At once: half a photo would be told as one that cannot be read.
    draw([1, 2, 3], "left").save(dir.path().join("new.png")).unwrap();
    std::fs::rename(dir.path().join("new.png"), dir.path().join("photos/new.png")).unwrap();
    assert_eq!(next()["added"], 1);
    std::fs::rename(dir.path().join("photos/new.png"), dir.path().join("photos/renamed.png"))
        .unwrap();
    let moved = next();
    assert_eq!(
        (&moved["reused"], &moved["forgotten"], &moved["encoded"]),
        (&1.into(), &1.into(), &0.into())
    );
    child.kill().unwrap();
    child.wait().unwrap();
}
