//! As much of the Hugging Face hub as a pull needs.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A file of the repository `owner/name`.
#[derive(Clone)]
pub struct Served {
    pub body: Vec<u8>,
    pub etag: String,
}

/// What the hub serves, how it misbehaves, and what it was asked.
#[derive(Default)]
pub struct State {
    pub files: BTreeMap<String, Served>,
    /// For each request that asks for the rest of a file: how many bytes to send before the connection is cut.
    pub cuts: Vec<usize>,
    /// (path, range, authorization)
    pub asked: Vec<(String, String, String)>,
}

pub struct Hub {
    pub address: String,
    pub state: Arc<Mutex<State>>,
}

impl Hub {
    pub fn start(files: &[(&str, &[u8], &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let hub = Self { address, state: state.clone() };
        files.iter().for_each(|(name, body, etag)| hub.serve(name, body, etag));
        thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that hangs up is no failure of the hub.
                let _ = answer(stream.unwrap(), &state);
            }
        });
        hub
    }

    pub fn serve(&self, name: &str, body: &[u8], etag: &str) {
        let served = Served { body: body.to_vec(), etag: etag.to_owned() };
        self.state.lock().unwrap().files.insert(name.to_owned(), served);
    }

    pub fn cut(&self, cuts: &[usize]) {
        self.state.lock().unwrap().cuts = cuts.iter().rev().copied().collect();
    }

    /// The ranges asked for of a file, but for the first byte, which is asked for to learn the length.
    pub fn ranges(&self, name: &str) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let of_file = state.asked.iter().filter(|(path, ..)| path.ends_with(name));
        of_file.map(|(_, range, _)| range.clone()).filter(|range| range != "bytes=0-0").collect()
    }
}

fn answer(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
    let mut state = state.lock().unwrap();
    state.asked.push((path.clone(), header("range"), header("authorization")));
    if path == "/api/models/owner/name/revision/main" {
        let siblings: Vec<_> =
            state.files.keys().map(|name| format!("{{\"rfilename\":\"{name}\"}}")).collect();
        let body = format!("{{\"sha\":\"{COMMIT}\",\"siblings\":[{}]}}", siblings.join(","));
        return send(&mut stream, "200 OK", "", body.as_bytes(), usize::MAX);
    }
    let name = path.strip_prefix(&format!("/owner/name/resolve/{COMMIT}/"));
    let Some(file) = name.and_then(|name| state.files.get(name)).cloned() else {
        return send(&mut stream, "404 Not Found", "", b"no such thing", usize::MAX);
    };
    let range = header("range");
    let (from, to) = range.trim_start_matches("bytes=").split_once('-').unwrap();
    let from: usize = from.parse().unwrap();
    let end = to.parse().map_or(file.body.len(), |last: usize| last + 1);
    let sent = if to.is_empty() { state.cuts.pop().unwrap_or(usize::MAX) } else { usize::MAX };
    let extra = format!(
        "Content-Range: bytes {from}-{}/{}\r\nETag: \"{}\"\r\nX-Repo-Commit: {COMMIT}\r\n",
        end - 1,
        file.body.len(),
        file.etag
    );
    send(&mut stream, "206 Partial Content", &extra, &file.body[from..end], sent)
}

fn send(
    stream: &mut TcpStream,
    status: &str,
    extra: &str,
    body: &[u8],
    limit: usize,
) -> std::io::Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{extra}\r\n"
    )?;
    stream.write_all(&body[..limit.min(length)])?;
    stream.flush()
}
