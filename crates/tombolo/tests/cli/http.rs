//! A server and a client for tests. Requests are written by hand, so that nothing between us and the server is polite.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::{assert_status, command, data, run};

/// A server that ends with the test.
pub struct Server {
    pub child: Child,
    pub address: String,
    pub token: Option<&'static str>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{}: {}", self.head, self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The code of an error in the form of the contract.
    pub fn code(&self) -> String {
        let error = &self.json()["error"];
        assert!(error["message"].is_string() && error["type"].is_string(), "{error}");
        error["code"].as_str().unwrap().to_owned()
    }
}

impl Server {
    pub fn start(dir: &Path, arguments: &[&str]) -> Self {
        let mut child = command(dir, &["serve", "--bind", "127.0.0.1:0", "--json"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        let address = told["url"].as_str().unwrap().trim_start_matches("http://").to_owned();
        let server = Self { child, address, token: None };
        server.wait_until_ready();
        server
    }

    fn wait_until_ready(&self) {
        for _ in 0..600 {
            if self.get("/health").status == 200 {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the server never got ready");
    }

    /// A connection of its own.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Sends bytes as they are and reads until the server closes.
    pub fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect();
        // The server may answer and close before all is sent.
        let _ = stream.write_all(request);
        Self::read(stream)
    }

    /// Reads an answer until the server closes.
    pub fn read(mut stream: TcpStream) -> Answer {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: answer[end..].to_vec() }
    }

    pub fn request(&self, method: &str, path: &str, more: &str, body: &[u8]) -> Answer {
        let token =
            self.token.map(|t| format!("Authorization: Bearer {t}\r\n")).unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n{token}{more}\r\n",
            self.address,
            body.len()
        );
        self.raw(&[head.as_bytes(), body].concat())
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, "", b"")
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        let body = serde_json::to_vec(body).unwrap();
        self.request("POST", path, "Content-Type: application/json\r\n", &body)
    }

    pub fn search(&self, body: Value) -> Value {
        let answer = self.post("/search", &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }
}

/// A server on a library of the drawn pictures.
pub fn served() -> (TempDir, Server) {
    let dir = data();
    let index = ["index", "photos", "--library", "lib", "--model", "emoji-starter", "--quiet"];
    assert_status(&run(dir.path(), &index), 0);
    let server = Server::start(dir.path(), &["--library", "lib"]);
    (dir, server)
}

/// The paths of hits, in order.
pub fn paths(page: &Value) -> Vec<&str> {
    page["hits"].as_array().unwrap().iter().map(|hit| hit["path"].as_str().unwrap()).collect()
}

/// One red pixel.
pub const PNG: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";

/// The header of a body in JSON.
pub const JSON: &str = "Content-Type: application/json\r\n";

/// Checks that others are served as ever.
pub fn still_answers(server: &Server) {
    assert_eq!(
        server.search(serde_json::json!({ "query": "red" }))["hits"].as_array().unwrap().len(),
        10
    );
}
