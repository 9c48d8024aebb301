//! What an attacker gets: named errors, no panic, no file outside the library, and nobody else is kept waiting.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use image::ImageEncoder as _;
use serde_json::json;

use super::http::{JSON, Server, paths, served, still_answers};
use super::{assert_status, data, draw, err, run};

pub fn uri(bytes: &[u8]) -> String {
    format!("data:image/png;base64,{}", BASE64_STANDARD.encode(bytes))
}

pub fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::new(width, height);
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// 81 million pixels of nothing in a small file: more than a request may decode.
fn bomb() -> Vec<u8> {
    grey(9_000, 9_000)
}

fn grey(width: u32, height: u32) -> Vec<u8> {
    use image::codecs::png::{CompressionType, FilterType, PngEncoder};
    let mut bytes = Vec::new();
    let encoder =
        PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::NoFilter);
    let pixels = vec![0; width as usize * height as usize];
    encoder.write_image(&pixels, width, height, image::ExtendedColorType::L8).unwrap();
    bytes
}

/// A PNG whose header promises other sides than it has.
fn promising(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = png(8, 8);
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let crc = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// CRC-32 as PNG has it (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 }
        })
    };
    !bytes.iter().fold(!0, step)
}

#[test]
fn no_path_leads_out_of_the_library() {
    let (dir, server) = served();
    std::fs::write(dir.path().join("secret.txt"), "s3cret").unwrap();
    let absolute = dir.path().join("secret.txt").display().to_string();
    let encoded = absolute.replace('/', "%2f");
    for name in [
        "../secret.txt",
        "..%2fsecret.txt",
        "%2e%2e%2fsecret.txt",
        "..\\secret.txt",
        "....//secret.txt",
        "photos%2f..%2fsecret.txt",
        "%00",
        "a%00.png",
        "emoji:1f98b",
        "file:%2f%2f%2fetc%2fpasswd",
        absolute.trim_start_matches('/'),
        &encoded,
    ] {
        for route in ["", "/image", "/thumbnail", "/why?query=red"] {
            let answer = server.get(&format!("/items/{name}{route}"));
            assert!([400, 404].contains(&answer.status), "{name}{route}: {}", answer.status);
            assert!(!answer.text().contains("s3cret"), "{name}{route}");
        }
    }
    for path in ["/../secret.txt", "/page/../../secret.txt", "/%2e%2e/secret.txt", &absolute] {
        let answer = server.get(path);
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{path}");
    }
    for name in ["../secret.txt", absolute.as_str(), "photos/../secret.txt"] {
        for body in [
            json!({ "item": name }),
            json!({ "query": format!("image:{name} AND red") }),
            json!({ "image": name }),
        ] {
            let answer = server.post("/search", &body);
            assert_eq!((answer.status, answer.code().as_str()), (422, "invalid"), "{body}");
            assert!(!answer.text().contains("s3cret"));
        }
        // Words stay words: what is added is never opened as a file.
        server.search(json!({ "query": "red", "add": name, "subtract": name }));
        let filtered = server.search(json!({ "filter": { "folder": name, "path": name } }));
        assert!(paths(&filtered).is_empty());
    }
}

#[cfg(unix)]
#[test]
fn a_link_in_the_place_of_a_photo_or_of_its_folder_is_not_followed() {
    let (dir, server) = served();
    let folder = dir.path().join("photos");
    let hits = server.search(json!({ "query": "red", "top": 100 }));
    // A photo is replaced by a link to another file of as many bytes.
    let (path, id) = (hits["hits"][0]["path"].as_str().unwrap(), hits["hits"][0]["id"].as_str());
    let id = id.unwrap();
    let size = std::fs::metadata(path).unwrap().len() as usize;
    std::fs::write(dir.path().join("other"), vec![b's'; size]).unwrap();
    std::fs::remove_file(path).unwrap();
    std::os::unix::fs::symlink(dir.path().join("other"), path).unwrap();
    for route in ["/image", "/thumbnail", "/why?query=red"] {
        assert_eq!(server.get(&format!("/items/{id}{route}")).code(), "not_found", "{route}");
    }
    // The folder is replaced by a link to one with other files of the same names.
    let other = dir.path().join("elsewhere");
    std::fs::create_dir(&other).unwrap();
    for hit in hits["hits"].as_array().unwrap() {
        let name = Path::new(hit["path"].as_str().unwrap()).file_name().unwrap();
        draw([1, 2, 3], "top").save(other.join(name)).unwrap();
    }
    std::fs::rename(&folder, dir.path().join("moved")).unwrap();
    std::os::unix::fs::symlink(&other, &folder).unwrap();
    let id = hits["hits"][1]["id"].as_str().unwrap();
    for route in ["/image", "/thumbnail", "/why?query=red"] {
        assert_eq!(server.get(&format!("/items/{id}{route}")).code(), "not_found", "{route}");
    }
    still_answers(&server);
}

#[test]
fn a_data_uri_of_100_mb_is_refused_without_being_kept() {
    let (_dir, server) = served();
    let huge = "A".repeat(100 << 20);
    for (path, body) in [
        ("/search", format!("{{\"image\":\"data:image/png;base64,{huge}\"}}")),
        ("/search", format!("{{\"query\":\"{huge}\"}}")),
        ("/v1/embeddings", format!("{{\"model\":\"emoji-starter\",\"input\":\"{huge}\"}}")),
    ] {
        let answer = server.request("POST", path, JSON, body.as_bytes());
        assert_eq!((answer.status, answer.code().as_str()), (413, "too_large"), "{path}");
    }
    // Without a length, in chunks: it is cut where it becomes too long.
    let mut stream = server.connect();
    let head = format!(
        "POST /search HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n",
        server.address
    );
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 1 << 20], b"\r\n"].concat();
    let mut sent = 0;
    while sent < 100 && stream.write_all(&chunk).is_ok() {
        sent += 1;
    }
    assert_eq!(Server::read(stream).status, 413);
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id()));
        let status = status.unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(kib < 800 << 10, "{kib} KiB at most");
    }
    still_answers(&server);
}

#[test]
fn pictures_that_are_bombs_truncated_or_something_else_are_refused() {
    let (_dir, server) = served();
    let whole = png(64, 64);
    let bomb = bomb();
    assert!(bomb.len() < 1 << 18, "{}", bomb.len());
    let mut corrupt = whole.clone();
    corrupt[60..].fill(0x5a);
    let gif_bomb = b"GIF89a\xff\xff\xff\xff\x80\x00\x00\0\0\0\xff\xff\xff,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;";
    let refused: [(&str, &[u8]); 9] = [
        ("a bomb", &bomb),
        ("a header that promises 60,000 squared", &promising(60_000, 60_000)),
        ("a header that promises 2^31 columns", &promising(1 << 31, 1)),
        ("a header without pixels", &promising(0, 8)),
        ("a GIF of 65,535 squared", gif_bomb),
        ("a cut", &whole[..whole.len() / 2]),
        ("a header alone", &whole[..33]),
        ("damage", &corrupt),
        ("a page", b"<!doctype html><script>alert(1)</script>"),
    ];
    for (what, bytes) in refused {
        let started = Instant::now();
        for body in [json!({ "image": uri(bytes) }), json!({ "query": "a", "add": uri(bytes) })] {
            let answer = server.post("/search", &body);
            assert_eq!((answer.status, answer.code().as_str()), (422, "invalid"), "{what}");
        }
        let input = json!({ "model": "emoji-starter", "modality": "image", "input": uri(bytes) });
        assert_eq!(server.post("/v1/embeddings", &input).status, 422, "{what}");
        assert!(started.elapsed() < Duration::from_secs(10), "{what}: {:?}", started.elapsed());
    }
    // What follows a picture, or hides in it, is not looked at.
    let polyglot = [&whole[..], b"PK\x03\x04<script>alert(1)</script>"].concat();
    assert_eq!(paths(&server.search(json!({ "image": uri(&polyglot) }))).len(), 10);
    for uri in
        ["data:image/png;base64,%%%", "data:image/png;base64,", "data:,x", "data:text/html,<b>"]
    {
        assert_eq!(server.post("/search", &json!({ "image": uri })).code(), "invalid", "{uri}");
    }
    still_answers(&server);
}

#[test]
fn a_polyglot_in_the_library_is_served_as_a_picture_only() {
    let dir = data();
    let photos = dir.path().join("photos");
    let script = b"<html><script>alert(document.domain)</script>";
    let polyglot = [&png(8, 8)[..], script].concat();
    std::fs::write(photos.join("polyglot.png"), &polyglot).unwrap();
    std::fs::write(photos.join("page.jpg"), script).unwrap();
    let index = ["index", "photos", "--library", "lib", "--model", "emoji-starter"];
    let output = run(dir.path(), &index);
    assert_status(&output, 3);
    assert!(err(&output).contains("page.jpg"), "{}", err(&output));
    let server = Server::start(dir.path(), &["--library", "lib"]);
    let filter = json!({ "filter": { "path": "*polyglot*" } });
    let id = server.search(filter)["hits"][0]["id"].as_str().unwrap().to_owned();
    let image = server.get(&format!("/items/{id}/image"));
    assert!(image.head.contains("content-type: image/png"), "{}", image.head);
    assert!(image.head.contains("x-content-type-options: nosniff"));
    assert!(image.head.contains("content-security-policy: default-src 'none'"));
    assert_eq!(image.body, polyglot);
    let thumbnail = server.get(&format!("/items/{id}/thumbnail"));
    assert!(!thumbnail.body.windows(8).any(|window| window == b"<script>"));
    assert!(paths(&server.search(json!({ "filter": { "path": "*page.jpg" } }))).is_empty());
}

#[test]
fn captions_with_html_stay_text() {
    let dir = data();
    let caption = "<img src=x onerror=alert(1)></script><script>alert(2)</script>\u{202e}";
    std::fs::write(dir.path().join("photos/red-left.txt"), caption).unwrap();
    let index = ["index", "photos", "--library", "lib", "--model", "emoji-starter", "--quiet"];
    assert_status(&run(dir.path(), &index), 0);
    let server = Server::start(dir.path(), &["--library", "lib"]);
    let answer = server.post("/search", &json!({ "filter": { "path": "*red-left.png" } }));
    assert!(answer.head.contains("content-type: application/json"));
    assert!(answer.head.contains("nosniff"));
    let hit = &answer.json()["hits"][0];
    assert_eq!(hit["caption"], caption);
    let record = server.get(&format!("/items/{}", hit["id"].as_str().unwrap()));
    assert!(record.head.contains("content-type: application/json"));
    assert_eq!(record.json()["caption"], caption);
    // The page has no way to turn text into markup, and its policy allows no script but its own.
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/serve/page");
    let mut scripts = 0;
    for entry in std::fs::read_dir(page).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "js") {
            let text = std::fs::read_to_string(&path).unwrap();
            for sink in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
            ] {
                assert!(!text.contains(sink), "{}: {sink}", path.display());
            }
            scripts += 1;
        }
    }
    assert!(scripts > 5, "the page's scripts are elsewhere");
}

#[test]
fn expressions_that_are_long_or_deep_are_refused_at_once() {
    let (_dir, server) = served();
    let deep = format!("{}red{}", "(".repeat(10_000), ")".repeat(10_000));
    let words = "dog AND ".repeat(131_072) + "dog";
    for query in [
        deep.clone(),
        "NOT ".repeat(10_000) + "red",
        words,
        "\"".repeat(1 << 20),
        "a".repeat(1 << 20),
        "image:".repeat(200_000),
        "(".repeat(1 << 20),
    ] {
        let started = Instant::now();
        let answer = server.post("/search", &json!({ "query": query }));
        assert_eq!((answer.status, answer.code().as_str()), (422, "invalid"), "{}", &query[..20]);
        assert!(answer.body.len() < 10_000, "the query is not sent back whole");
        assert!(started.elapsed() < Duration::from_secs(5), "{}", &query[..20]);
    }
    let id = server.search(json!({ "query": "red" }))["hits"][0]["id"].as_str().unwrap().to_owned();
    let why = server.get(&format!("/items/{id}/why?query={}", "(".repeat(10_000)));
    assert!([400, 414, 422, 431].contains(&why.status), "{}", why.status);
    for body in [
        format!("{{\"add\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000)),
        format!("{}1{}", "{\"filter\":".repeat(10_000), "}".repeat(10_000)),
    ] {
        let status = server.request("POST", "/search", JSON, body.as_bytes()).status;
        assert!([400, 422].contains(&status), "{status}");
    }
    still_answers(&server);
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let (_dir, server) = served();
    let id = server.search(json!({ "query": "red" }))["hits"][0]["id"].as_str().unwrap().to_owned();
    for body in [
        b"{\"query\":\"\xff\xfe\"}".as_slice(),
        b"{\"query\":\"\xed\xa0\x80\"}",
        b"{\"query\":\"\\ud800\"}",
        b"\0\0\0",
        b"",
    ] {
        let answer = server.request("POST", "/search", JSON, body);
        assert_eq!((answer.status, answer.code().as_str()), (400, "malformed"), "{body:?}");
    }
    let why = server.get(&format!("/items/{id}/why?query=%ff%fe"));
    assert!([200, 400, 422].contains(&why.status), "{}", why.status);
    let head = |line: &[u8]| [line, b"\r\nHost: localhost\r\nConnection: close\r\n\r\n"].concat();
    for line in
        [b"GET /items/\xff HTTP/1.1".as_slice(), b"GET / HTTP/9.9", b"\x16\x03\x01\x02\0", b"GET"]
    {
        assert!((400..=505).contains(&server.raw(&head(line)).status));
    }
    let token = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \xff\xfe\r\nConnection: close\r\n\r\n";
    assert_eq!(server.raw(token).status, 200, "no token is asked for");
    let many: String = (0..200).map(|n| format!("X-Header-{n}: {}\r\n", "v".repeat(400))).collect();
    assert!([400, 431].contains(&server.request("GET", "/health", &many, b"").status));
    still_answers(&server);
}

#[test]
fn a_token_that_is_nearly_right_is_wrong() {
    let dir = data();
    let index = ["index", "photos", "--library", "lib", "--model", "emoji-starter", "--quiet"];
    assert_status(&run(dir.path(), &index), 0);
    std::fs::write(dir.path().join("token"), "s3cret\n").unwrap();
    let server = Server::start(dir.path(), &["--library", "lib", "--token-file", "token"]);
    let with =
        |header: &str| server.request("POST", "/search", &format!("{JSON}{header}"), b"{}").status;
    for header in [
        "",
        "Authorization: Bearer\r\n",
        "Authorization: Bearer \r\n",
        "Authorization: Bearer s3cre\r\n",
        "Authorization: Bearer s3crets\r\n",
        "Authorization: Bearer S3cret\r\n",
        "Authorization: Bearer s3cre\u{74}\u{301}\r\n",
        "Authorization: Basic s3cret\r\n",
        "Authorization: s3cret\r\n",
        "Authorization: Bearer x\r\nAuthorization: Bearer s3cret\r\n",
        "X-Api-Key: s3cret\r\n",
        "Cookie: token=s3cret\r\n",
    ] {
        assert_eq!(with(header), 401, "{header}");
    }
    assert_eq!(with("Authorization: Bearer s3cret\r\n"), 200);
    assert_eq!(server.get("/items/x/image?token=s3cret").status, 401, "not in the address");
}

/// Each photo is within its bounds, and decoded takes 180 MB.
#[test]
#[cfg(target_os = "linux")]
fn many_large_photos_are_taken_one_by_one() {
    let (_dir, server) = served();
    let photo = uri(&grey(10_000, 6_000));
    let photos = vec![photo; 4];
    let models = server.get("/v1/models").json();
    let body = json!({ "model": models["data"][0]["id"], "modality": "image", "input": photos });
    let answer = server.post("/v1/embeddings", &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["data"].as_array().unwrap().len(), 4);
    let status = format!("/proc/{}/status", server.child.id());
    let status = std::fs::read_to_string(status).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 600_000, "{peak} kB");
}

#[test]
fn filters_longer_than_a_database_takes_are_refused() {
    let (_dir, server) = served();
    for filter in [
        json!({ "tags": vec!["a"; 2_000] }),
        json!({ "path": "*a".repeat(40_000) }),
        json!({ "camera": "x".repeat(5_000) }),
    ] {
        let answer = server.post("/search", &json!({ "query": "red", "filter": filter }));
        assert_eq!((answer.status, answer.code()), (422, "invalid".to_owned()));
    }
}
