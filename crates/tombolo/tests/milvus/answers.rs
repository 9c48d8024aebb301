//! What a collection answers.

use super::{assert_refused, assert_same, collection, copy, hits, index, photos, run, server};

#[test]
fn a_copy_gives_the_same_answers() {
    let Some(server) = server() else { return };
    let dir = photos();
    let dir = dir.path();
    index(dir);
    let cluster = collection(&server, "answers");
    assert_eq!(copy(dir, &cluster), [29, 29, 0]);
    let same = |arguments: &[&str]| assert_same(dir, &cluster, arguments);
    for query in ["red circle", "a green square", "heart", "ночь", "black cat"] {
        assert_eq!(same(&[query]), 10);
    }
    assert_eq!(same(&["red", "--top", "100"]), 29);
    assert_eq!(same(&["--image", "photos/even/IMG_1 blue.png"]), 10);
    same(&["red", "--add", "circle", "--subtract", "photos/again.png"]);
    same(&["red", "--min-probability", "0.2"]);
    for expression in [
        "red OR blue",
        "(red OR blue) AND NOT circle",
        "NOT red",
        "image:photos/again.png AND NOT black",
    ] {
        assert_eq!(same(&[expression]), 10, "{expression}");
    }
    for sort in ["newest", "oldest"] {
        assert_eq!(same(&["--sort", sort, "--top", "12"]), 12);
        same(&["red OR green", "--sort", sort]);
        same(&["red", "--sort", sort]);
    }
}

#[test]
fn filters_let_the_same_photos_through() {
    let Some(server) = server() else { return };
    let dir = photos();
    let dir = dir.path();
    index(dir);
    let cluster = collection(&server, "filters");
    copy(dir, &cluster);
    let same = |arguments: &[&str]| {
        let all = [&["red", "--top", "40"], arguments].concat();
        assert_same(dir, &cluster, &[&all[..], &["--sort", "newest"]].concat());
        assert_same(dir, &cluster, &[&["red OR NOT blue"][..], &all[1..]].concat());
        assert_same(dir, &cluster, &all)
    };
    assert_eq!(same(&["--path", "*IMG_1*"]), 7);
    assert_eq!(same(&["--path", "*IMG?1*"]), 14);
    assert_eq!(same(&["--path", "*100% \"q\"*"]), 7);
    assert_eq!(same(&["--path", "*it's [[]new]*"]), 7);
    assert_eq!(same(&["--path", "*IMG[_ ]1 [r-y]*"]), 6);
    assert_eq!(same(&["--path", "*IMG[^_]1*"]), 7);
    assert_eq!(same(&["--path", "*/odd_%/*"]), 12);
    assert_eq!(same(&["--path", "*\\*"]), 0);
    assert_eq!(same(&["--folder", "photos/even"]), 16);
    assert_eq!(same(&["--folder", "photos/odd_%/"]), 12);
    assert_eq!(same(&["--folder", "photos"]), 29);
    assert_eq!(same(&["--folder", "photos/eve"]), 0);
    assert_eq!(same(&["--min-width", "50"]), 14);
    assert_eq!(same(&["--min-height", "72", "--orientation", "portrait"]), 15);
    assert_eq!(same(&["--orientation", "landscape"]), 14);
    assert_eq!(same(&["--orientation", "square"]), 0);
    assert_eq!(same(&["--tag", "it's \\ 100%"]), 7);
    assert_eq!(same(&["--tag", "it's \\ 100%", "--tag", "red"]), 1);
    assert_eq!(same(&["--tag", "\" or 1 == 1 or \""]), 0);
    assert_eq!(same(&["--taken-from", "1990"]), 0);
    assert_eq!(same(&["--taken-to", "2090"]), 0);
    assert_eq!(same(&["--camera", "x\" or id > \""]), 0);
}

#[test]
fn pages_follow_one_another() {
    let Some(server) = server() else { return };
    let dir = photos();
    let dir = dir.path();
    index(dir);
    let cluster = collection(&server, "pages");
    copy(dir, &cluster);
    for query in [&["red"][..], &["red OR blue"], &["--sort", "newest"], &["--sort", "oldest"]] {
        let mut seen = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let mut arguments = [query, &["--top", "4"]].concat();
            if let Some(after) = &after {
                arguments.extend(["--after", after]);
            }
            assert_same(dir, &cluster, &arguments);
            let page = hits(dir, &cluster, &arguments);
            let Some(last) = page.last() else { break };
            after = last["cursor"].as_str().map(str::to_owned);
            seen.extend(page.into_iter().map(|hit| hit["id"].to_string()));
        }
        let all = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!((seen.len(), all), (29, 29), "{query:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_a_hint() {
    let Some(server) = server() else { return };
    let dir = photos();
    let dir = dir.path();
    index(dir);
    let cluster = collection(&server, "refused");
    assert_refused(&run(dir, &["search", "red", "--library", &cluster]), "no such", "library copy");
    copy(dir, &cluster);
    let other = ["search", "red", "--library", &cluster, "--model", "photo-starter"];
    assert_refused(
        &run(dir, &other),
        "was indexed with emoji-starter, and photo-starter",
        "--model",
    );
    let wrong = "milvus://nowhere/photos";
    assert_refused(&run(dir, &["search", "red", "--library", wrong]), "HOST:PORT", "letters");
    let check = ["library", "check", "--library", &cluster];
    assert_refused(&run(dir, &check), "expected a folder", "library copy");
    let nobody = ["search", "red", "--library", "milvus://127.0.0.1:1/photos"];
    assert_eq!(run(dir, &nobody).status.code(), Some(1));
}
