//! A line to a server that can be cut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Passes on what the program sends to a server, so many bytes of it; then the line is cut for good.
pub fn proxy(server: &str, bytes: usize) -> (String, Arc<AtomicUsize>) {
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
