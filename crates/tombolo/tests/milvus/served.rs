//! A server of ours over a collection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde_json::{Value, json};

use super::proxy::proxy;
use super::{collection, command, copy, index, photos, server};

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
