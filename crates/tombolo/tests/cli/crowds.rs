//! Many clients, slow ones and silent ones: nobody else is kept waiting.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use super::http::{JSON, Server, served, still_answers};

#[test]
fn a_body_that_never_ends_keeps_nobody_waiting() {
    let (_dir, server) = served();
    let head = format!(
        "POST /search HTTP/1.1\r\nHost: {}\r\n{JSON}Content-Length: 1000\r\n\r\n{{",
        server.address
    );
    // More of them than requests that are answered at once.
    let mut slow: Vec<TcpStream> = (0..400).map(|_| server.connect()).collect();
    slow.iter_mut().for_each(|stream| stream.write_all(head.as_bytes()).unwrap());
    std::thread::sleep(Duration::from_millis(300));
    let started = Instant::now();
    still_answers(&server);
    assert!(started.elapsed() < Duration::from_secs(5));
    drop(slow);
    still_answers(&server);
}

/// Takes ten seconds, the time that a client has for a head.
#[test]
fn clients_that_say_nothing_lose_their_place() {
    let (_dir, server) = served();
    // All connections that the server keeps open, and more.
    let mut silent: Vec<TcpStream> = (0..600).map(|_| server.connect()).collect();
    silent.iter_mut().step_by(2).for_each(|stream| stream.write_all(b"GET /hea").unwrap());
    let started = Instant::now();
    still_answers(&server);
    let waited = started.elapsed();
    assert!(waited < Duration::from_secs(25), "{waited:?}");
}

/// 10,000 clients at once: as many answers, each in the form of the contract. Needs as many file descriptors:
/// `ulimit -n 20000; cargo test --release --workspace --test cli -- --ignored ten_thousand`, as `.ci/run` does.
#[test]
#[ignore = "needs 10,000 connections; .ci/run runs it"]
fn ten_thousand_clients_at_once_are_answered_or_told_to_come_again() {
    let (_dir, server) = served();
    let started = Instant::now();
    let body = json!({ "query": "red" }).to_string();
    let request = format!(
        "POST /search HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{JSON}Content-Length: {}\r\n\r\n{body}",
        server.address,
        body.len()
    );
    let (mut clients, mut refused) = (Vec::new(), 0);
    for _ in 0..10_000 {
        match TcpStream::connect(&server.address) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
                if stream.write_all(request.as_bytes()).is_ok() {
                    clients.push(stream);
                } else {
                    refused += 1;
                }
            }
            Err(_) => refused += 1,
        }
    }
    let opened = started.elapsed();
    let mut statuses = std::collections::BTreeMap::new();
    for stream in clients {
        let answer = Server::read(stream);
        if answer.status == 200 {
            assert_eq!(answer.json()["hits"].as_array().unwrap().len(), 10);
        } else {
            assert_eq!(answer.code(), "overloaded");
        }
        *statuses.entry(answer.status).or_insert(0) += 1;
    }
    eprintln!(
        "{statuses:?}, {refused} refused; opened in {opened:?}, answered in {:?}",
        started.elapsed()
    );
    assert_eq!(refused, 0);
    assert!(statuses[&200] > 0);
    still_answers(&server);
}
