//! A library on a cluster gives the answers of the one on disk that was copied to it.
//!
//! Needs a running server: `TOMBOLO_TEST_MILVUS=HOST:PORT`, as `.ci/milvus` sets it. Without it each test says that it passes
//! over.

#![cfg(feature = "milvus")]
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tempfile::TempDir;

const COLOURS: [(&str, [u8; 3]); 7] = [
    ("red", [220, 30, 30]),
    ("green", [30, 200, 40]),
    ("blue", [40, 60, 220]),
    ("yellow", [240, 220, 40]),
    ("black", [10, 10, 10]),
    ("white", [250, 250, 250]),
    ("pink", [250, 120, 180]),
];
/// Odd on purpose: each character means something in an expression or a pattern.
const NAMES: [&str; 4] = ["IMG_1", "IMG 1", "100% \"q\"", "it's [new]"];

/// Scores on both sides differ by less.
const TOLERANCE: f64 = 1e-3;

/// The server's address, unless there is none.
fn server() -> Option<String> {
    let server = std::env::var("TOMBOLO_TEST_MILVUS").ok();
    if server.is_none() {
        println!("TOMBOLO_TEST_MILVUS names no server: passed over");
    }
    server
}

/// A collection of this test run alone.
fn collection(server: &str, name: &str) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    format!("milvus://{server}/{name}_{}_{}", std::process::id(), now.as_nanos())
}

/// A disc or a square on grey, higher or wider.
fn draw(colour: [u8; 3], number: u32) -> image::RgbImage {
    let (width, height) = if number.is_multiple_of(2) { (64, 48) } else { (48, 72) };
    image::RgbImage::from_fn(width, height, |x, y| {
        let (dx, dy) = (x.abs_diff(width / 2), y.abs_diff(height / 2));
        let inside = match number {
            0 => dx * dx + dy * dy < 400,
            1 => dx < 15 && dy < 15,
            2 => dx + dy < 20,
            _ => dx < 8 || dy < 8,
        };
        image::Rgb(if inside { colour } else { [128; 3] })
    })
}

/// Pictures in two folders with captions and tags; one is there twice, byte by byte.
fn photos() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut tags = vec!["image,tags".to_owned()];
    for (row, (colour, rgb)) in COLOURS.into_iter().enumerate() {
        let folder = if row % 2 == 0 { "photos/even" } else { "photos/odd_%" };
        tags.push(format!("{folder}/IMG_1 {colour}.png,{colour};it's \\ 100%"));
        let folder = dir.path().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        for (number, name) in NAMES.into_iter().enumerate() {
            let file = folder.join(format!("{name} {colour}.png"));
            draw(rgb, number as u32).save(&file).unwrap();
            let caption = format!("{colour} \"{name}\"");
            std::fs::write(file.with_extension("txt"), caption).unwrap();
        }
    }
    let photos = dir.path().join("photos");
    std::fs::copy(photos.join("even/IMG 1 red.png"), photos.join("again.png")).unwrap();
    std::fs::write(dir.path().join("tags.csv"), tags.join("\n")).unwrap();
    dir
}

fn run(dir: &Path, arguments: &[&str]) -> Output {
    command(dir, arguments).output().unwrap()
}

fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tombolo"));
    command.args(arguments).current_dir(dir).env("TOMBOLO_HOME", dir.join("home"));
    command.env("TOMBOLO_OFFLINE", "true").stdin(Stdio::null());
    command
}

#[track_caller]
fn done(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Checks that it was wrong use, and what is said of it.
#[track_caller]
fn assert_refused(output: &Output, what: &str, hint: &str) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    let (error, advice) = text.split_once("hint:").unwrap_or((&text, ""));
    assert!(error.contains(what) && advice.contains(hint), "{text}");
}

fn index(dir: &Path) {
    let arguments =
        ["index", "photos", "--library", "lib", "--model", "emoji-starter", "--tags", "tags.csv"];
    done(&run(dir, &arguments));
}

/// What a copy said: photos, sent, removed.
#[track_caller]
fn copy(dir: &Path, to: &str) -> [u64; 3] {
    let said: Value =
        serde_json::from_str(&done(&run(dir, &["library", "copy", "lib", to, "--json"]))).unwrap();
    ["photos", "sent", "removed"].map(|name| said[name].as_u64().unwrap())
}

fn hits(dir: &Path, library: &str, arguments: &[&str]) -> Vec<Value> {
    let all = [&["search", "--json", "--library", library], arguments].concat();
    done(&run(dir, &all)).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Both give the same photos in the same order, with the same scores. Returns how many.
#[track_caller]
fn assert_same(dir: &Path, cluster: &str, arguments: &[&str]) -> usize {
    let (local, remote) = (hits(dir, "lib", arguments), hits(dir, cluster, arguments));
    let paths = |hits: &[Value]| hits.iter().map(|hit| hit["path"].to_string()).collect::<Vec<_>>();
    assert_eq!(paths(&remote), paths(&local), "{arguments:?}");
    for (local, remote) in local.iter().zip(&remote) {
        for field in ["score", "probability"] {
            let [a, b] = [local, remote].map(|hit| hit[field].as_f64());
            assert_eq!(a.is_some(), b.is_some(), "{field} of {arguments:?}");
            assert!((a.unwrap_or(0.0) - b.unwrap_or(0.0)).abs() < TOLERANCE, "{local} {remote}");
        }
        for field in ["rank", "id", "width", "height", "caption", "taken_at", "cursor"] {
            assert_eq!(remote[field], local[field], "{field} of {arguments:?}");
        }
    }
    local.len()
}

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

/// Passes on what the program sends to a server, so many bytes of it; then the line is cut for good.
fn proxy(server: &str, bytes: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (server, passed) = (server.to_owned(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&passed);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            if passed.load(Relaxed) > bytes {
                continue;
            }
            let upstream = TcpStream::connect(&server).unwrap();
            let (mut back, mut to) = (upstream.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut back, &mut to));
            let passed = Arc::clone(&passed);
            std::thread::spawn(move || pass_on(client, upstream, &passed, bytes));
        }
    });
    (address, counter)
}

fn pass_on(mut client: TcpStream, mut server: TcpStream, passed: &AtomicUsize, bytes: usize) {
    let mut some = [0; 4096];
    while let Ok(length) = client.read(&mut some)
        && length > 0
        && passed.fetch_add(length, Relaxed) + length <= bytes
        && server.write_all(&some[..length]).is_ok()
    {}
    let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
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
    assert_refused(&run(dir, &other), "expected the image tower", "--model");
    let wrong = "milvus://nowhere/photos";
    assert_refused(&run(dir, &["search", "red", "--library", wrong]), "HOST:PORT", "letters");
    let check = ["library", "check", "--library", &cluster];
    assert_refused(&run(dir, &check), "expected a folder", "library copy");
    let nobody = ["search", "red", "--library", "milvus://127.0.0.1:1/photos"];
    assert_eq!(run(dir, &nobody).status.code(), Some(1));
}

/// A server of the program that ends with the test.
struct Served {
    child: Child,
    address: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    fn start(dir: &Path, library: &str) -> Self {
        let mut child = command(dir, &["serve", "--bind", "127.0.0.1:0", "--json"])
            .args(["--library", library])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        let address = told["url"].as_str().unwrap().trim_start_matches("http://").to_owned();
        let served = Self { child, address };
        for _ in 0..600 {
            if served.ask("GET", "/health", "").0 == 200 {
                return served;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the server never got ready");
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, "");
        assert_eq!(status, 200, "{body}");
        body
    }

    fn search(&self, body: &Value) -> Value {
        let (status, body) = self.ask("POST", "/search", &body.to_string());
        assert_eq!(status, 200, "{body}");
        body
    }
}

#[test]
fn the_server_answers_from_a_cluster_as_from_a_folder() {
    let Some(server) = server() else { return };
    let dir = photos();
    let dir = dir.path();
    index(dir);
    let cluster = collection(&server, "served");
    copy(dir, &cluster);
    let (local, remote) = (Served::start(dir, "lib"), Served::start(dir, &cluster));
    assert_eq!(remote.get("/health")["photos"], 29);
    assert_eq!(remote.get("/filters"), local.get("/filters"));
    let ids = |found: &Value| -> Vec<String> {
        found["hits"].as_array().unwrap().iter().map(|hit| hit["id"].to_string()).collect()
    };
    let first = local.search(&json!({}));
    let item = first["hits"][0]["id"].as_str().unwrap();
    for body in [
        json!({}),
        json!({ "query": "red", "filter": { "tags": ["red"] } }),
        json!({ "item": item }),
        json!({ "query": format!("image:{item} AND NOT red"), "top": 5 }),
    ] {
        let (here, there) = (local.search(&body), remote.search(&body));
        assert_eq!(ids(&there), ids(&here), "{body}");
        assert_eq!(there["next"].is_string(), here["next"].is_string(), "{body}");
    }
    let record = format!("/items/{item}");
    assert_eq!(remote.get(&record), local.get(&record));
    assert_eq!(remote.ask("GET", "/items/nobody", "").0, 404);
    let zero = json!({ "query": "red", "filter": { "tags": ["\u{0}"] } });
    assert_eq!(remote.ask("POST", "/search", &zero.to_string()).0, 422);
}

#[test]
fn a_cluster_that_goes_away_is_no_fault_of_the_client() {
    let Some(server) = server() else { return };
    let dir = photos();
    let dir = dir.path();
    index(dir);
    let (address, passed) = proxy(&server, 1 << 40);
    let cluster = collection(&address, "away");
    copy(dir, &cluster);
    let served = Served::start(dir, &cluster);
    let ask = || served.ask("POST", "/search", &json!({ "query": "red" }).to_string());
    assert_eq!(ask().0, 200);
    passed.store(1 << 41, Relaxed);
    let (status, body) = ask();
    assert_eq!((status, &body["error"]["code"]), (503, &json!("cluster")));
    passed.store(0, Relaxed);
    assert_eq!(ask().0, 200);
}
