//! Killed at any moment: the server and the program that indexes, under load, and training. What was acknowledged is still there.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http::{Server, paths};
use super::{assert_status, command, copy_of_trained, draw, out, run};

/// Photos that differ, `from` to `to`.
fn more_photos(dir: &Path, from: usize, to: usize) {
    for n in from..to {
        let colour = [(n * 37 % 251) as u8, (n * 101 % 241) as u8, (n * 7 % 239) as u8];
        draw(colour, "left").save(dir.join(format!("photos/more-{n:04}.png"))).unwrap();
    }
}

fn listed(server: &Server) -> BTreeSet<String> {
    let all = server.search(json!({ "top": 1000 }));
    paths(&all).into_iter().map(str::to_owned).collect()
}

/// Searches without end until told to stop, and counts whole answers; a killed server may break off any other.
fn ask(address: &str, stop: &AtomicBool, answered: &AtomicUsize) {
    use std::io::{Read, Write};
    let body = json!({ "query": "a red square", "top": 20 }).to_string();
    let request = format!(
        "POST /search HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut stream) = std::net::TcpStream::connect(address) else { continue };
        let mut answer = Vec::new();
        if stream.write_all(request.as_bytes()).is_ok()
            && stream.read_to_end(&mut answer).is_ok()
            && answer.starts_with(b"HTTP/1.1 200")
        {
            let start = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
            if serde_json::from_slice::<Value>(&answer[start..]).is_ok() {
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Ends what asks, even where the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn server_and_index_killed_under_load_leave_the_library_whole() {
    let dir = copy_of_trained();
    let path = dir.path();
    let index = ["index", "photos", "--library", "lib", "--model", "model"];
    assert_status(&run(path, &index), 0);
    let mut acknowledged: BTreeSet<String> = BTreeSet::new();
    let (answered, mut kills) = (AtomicUsize::new(0), 0);
    for round in 0..8 {
        more_photos(path, round * 60, (round + 1) * 60);
        let mut server = Server::start(path, &["--library", "lib"]);
        let seen = listed(&server);
        assert!(
            acknowledged.is_subset(&seen),
            "round {round} lost {:?}",
            acknowledged.difference(&seen)
        );
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let _stop = Stop(&stop);
            for _ in 0..4 {
                scope.spawn(|| ask(&server.address.clone(), &stop, &answered));
            }
            let mut indexing =
                command(path, &index).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            // Short at first: a fast machine is done in less than a tenth of a second.
            std::thread::sleep(Duration::from_millis(3 + 12 * round as u64));
            // What the server lists now is acknowledged, whatever happens next.
            acknowledged = listed(&server);
            if indexing.try_wait().unwrap().is_none() {
                kills += 1;
            }
            indexing.kill().unwrap();
            indexing.wait().unwrap();
        });
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        let checked = run(path, &["library", "check", "--library", "lib"]);
        assert_status(&checked, 0);
    }
    assert!(kills > 0, "index was never killed at work");
    assert!(answered.load(Ordering::Relaxed) > 0, "nothing was answered under load");
    assert_status(&run(path, &index), 0);
    let again = run(path, &[&index[..], &["--json"]].concat());
    let summary: Value = serde_json::from_str(&out(&again)).unwrap();
    assert_eq!(summary["encoded"], 0, "all is there: {summary}");
    let server = Server::start(path, &["--library", "lib"]);
    assert_eq!(listed(&server).len(), 24 + 8 * 60);
}

#[test]
fn a_run_that_waited_for_a_new_one_is_put_back() {
    let dir = copy_of_trained();
    let dir = dir.path();
    let train =
        ["train", "map", "csv:captions.csv", "--model", "model", "--set", "map.epochs=2000"];
    let mut child =
        command(dir, &train).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while !dir.join("model.partial/checkpoints").exists() {
        assert!(
            started.elapsed() < Duration::from_secs(120) && child.try_wait().unwrap().is_none()
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // As a kill between the last two renamings leaves it.
    std::fs::rename(dir.join("model"), dir.join("model.partial/replaced")).unwrap();
    let output = run(dir, &[&train[..], &["--resume"]].concat());
    assert_status(&output, 0);
    assert!(dir.join("model/text.safetensors").exists() && !dir.join("model.partial").exists());
    assert!(!dir.join("model/replaced").exists() && !dir.join("model/lock").exists());
}
