//! The HTTP API as clients meet it, without and with bad intentions; more of the latter in `attacks.rs`.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::attacks::{png, uri};
use super::http::{JSON, PNG, Server, paths, served};
use super::library::lines;
use super::{assert_fails, assert_status, copy_of_trained, data, out, run};

#[test]
fn it_searches_by_words_photos_and_expressions_in_pages() {
    let (_dir, server) = served();
    let whole = server.search(json!({ "query": "red circle", "top": 100 }));
    assert_eq!(paths(&whole).len(), 24);
    assert!(whole["next"].is_null());
    let first = &whole["hits"][0];
    assert_eq!(
        (&first["rank"], &first["width"], &first["height"]),
        (&json!(1), &json!(32), &json!(32))
    );
    assert!(first["score"].is_f64() && first["probability"].is_f64() && first["id"].is_string());
    let mut found = Vec::new();
    let mut page = server.search(json!({ "query": "red circle", "top": 7 }));
    loop {
        found.extend(paths(&page).into_iter().map(str::to_owned));
        if page["next"].is_null() {
            break;
        }
        page = server.search(json!({ "query": "red circle", "top": 7, "after": page["next"] }));
    }
    assert_eq!(found, paths(&whole));

    let members = server.search(json!({ "query": "red circle AND NOT (blue OR \"green heart\")" }));
    let scores: Vec<_> =
        members["hits"].as_array().unwrap().iter().map(|hit| &hit["score"]).collect();
    assert!(scores.iter().all(|score| (0.0..=1.0).contains(&score.as_f64().unwrap())));
    let like = server.search(json!({ "item": first["id"] }));
    assert_eq!(like["hits"][0]["id"], first["id"], "nothing is more like a photo than itself");
    assert!(like["hits"][0]["probability"].is_null());
    let by_photo = server.search(json!({ "image": PNG, "subtract": ["blue"], "add": "red" }));
    assert_eq!(paths(&by_photo).len(), 10);
    let id = first["id"].as_str().unwrap();
    server.search(json!({ "query": format!("image:{id} AND red") }));
}

#[test]
fn without_a_question_all_photos_come_and_filters_hold() {
    let (dir, server) = served();
    let all = server.search(json!({ "top": 100 }));
    assert_eq!(paths(&all).len(), 24);
    assert!(all["hits"][0]["score"].is_null() && all["hits"][0]["probability"].is_null());
    let red = server.search(json!({ "top": 100, "filter": { "path": "*/red-*" } }));
    assert_eq!(paths(&red).len(), 4);
    assert!(paths(&red).iter().all(|path| path.contains("red-")));
    let folder = dir.path().canonicalize().unwrap().join("photos");
    let filters = server.get("/filters").json();
    assert_eq!(filters["folders"][0], json!(folder));
    let none = server.search(json!({ "query": "red", "filter": { "orientation": "portrait" } }));
    assert!(paths(&none).is_empty());
}

#[test]
fn a_photo_has_a_record_an_image_a_thumbnail_and_reasons() {
    let (dir, server) = served();
    let hit = server.search(json!({ "query": "red", "top": 1 }))["hits"][0].clone();
    let id = hit["id"].as_str().unwrap();
    let record = server.get(&format!("/items/{id}")).json();
    assert_eq!(record["path"], hit["path"]);
    assert_eq!(record["tags"], json!([]));
    let image = server.get(&format!("/items/{id}/image"));
    assert!(image.head.contains("content-type: image/png"));
    assert_eq!(image.body, std::fs::read(hit["path"].as_str().unwrap()).unwrap());
    let small = server.get(&format!("/items/{id}/thumbnail"));
    assert!(small.body.starts_with(&[0xff, 0xd8]) && small.head.contains("etag: \""));
    let tag = format!("If-None-Match: \"{}\"\r\n", record["blake3"].as_str().unwrap());
    assert_eq!(server.request("GET", &format!("/items/{id}/thumbnail"), &tag, b"").status, 304);
    let why = server.get(&format!("/items/{id}/why?query=a%20red%20thing")).json();
    let cells = why["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 49);
    assert!(cells.iter().all(|cell| (0.0..=1.0).contains(&cell.as_f64().unwrap())));
    assert_eq!(server.get(&format!("/items/{id}/why?query=a%20AND%20b")).code(), "invalid");

    // Whatever takes the place of a photo is not given out.
    let path = hit["path"].as_str().unwrap();
    std::fs::remove_file(path).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(dir.path().join("captions.csv"), path).unwrap();
    assert_eq!(server.get(&format!("/items/{id}/image")).code(), "not_found");
}

#[test]
fn embeddings_have_the_form_that_clients_of_openai_know() {
    let (_dir, server) = served();
    let models = server.get("/v1/models").json();
    assert_eq!(models["data"][0]["id"], "emoji-starter");
    let ask = |more: Value| {
        let mut body = json!({ "model": "emoji-starter", "input": ["red", "blue", "red"] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.post("/v1/embeddings", &body)
    };
    let found = ask(json!({})).json();
    let vectors: Vec<Vec<f64>> = (0..3)
        .map(|i| serde_json::from_value(found["data"][i]["embedding"].clone()).unwrap())
        .collect();
    let dot =
        |a: usize, b: usize| vectors[a].iter().zip(&vectors[b]).map(|(x, y)| x * y).sum::<f64>();
    assert!((dot(0, 0) - 1.0).abs() < 1e-5 && (dot(0, 2) - 1.0).abs() < 1e-5 && dot(0, 1) < 0.999);
    let packed = ask(json!({ "encoding_format": "base64", "input": "red" })).json();
    let packed = packed["data"][0]["embedding"].as_str().unwrap().to_owned();
    assert_eq!(packed.len(), (vectors[0].len() * 4).div_ceil(3) * 4);
    let photo = ask(json!({ "modality": "image", "input": PNG })).json();
    assert_eq!(photo["data"][0]["embedding"].as_array().unwrap().len(), vectors[0].len());
    assert_eq!(ask(json!({ "model": "gpt" })).code(), "model_not_found");
    assert_eq!(ask(json!({ "input": [] })).status, 422);
    assert_eq!(ask(json!({ "input": [[1, 2]] })).status, 422);
    assert_eq!(ask(json!({ "dimensions": 3 })).status, 422);
}

#[test]
fn bad_requests_get_named_errors() {
    let (_dir, server) = served();
    let json_type = "Content-Type: application/json\r\n";
    for (answer, status, code) in [
        (server.request("POST", "/search", json_type, b"{"), 400, "malformed"),
        (server.request("POST", "/search", json_type, b"\xff\xfe"), 400, "malformed"),
        (server.request("POST", "/search", "", b"{}"), 415, "media_type"),
        (server.request("GET", "/search", "", b""), 405, "method_not_allowed"),
        (server.get("/nowhere"), 404, "not_found"),
        (server.get("/items/..%2f..%2fetc%2fpasswd"), 404, "not_found"),
        (server.get("/items/../../etc/passwd"), 404, "not_found"),
        (server.get("/items//etc/passwd/image"), 404, "not_found"),
        (server.get("/items/%ff/image"), 400, "malformed"),
        (server.post("/search", &json!({ "qery": "dog" })), 422, "invalid"),
        (server.post("/search", &json!({ "query": "dog AND" })), 422, "invalid"),
        (server.post("/search", &json!({ "query": "dog ".repeat(250_000) })), 422, "invalid"),
        (server.post("/search", &json!({ "query": "(".repeat(4_000) })), 422, "invalid"),
        (server.post("/search", &json!({ "query": "image:nothing" })), 422, "invalid"),
        (server.post("/search", &json!({ "item": "nothing" })), 422, "invalid"),
        (server.post("/search", &json!({ "image": "data:image/png;base64,AAAA" })), 422, "invalid"),
        (server.post("/search", &json!({ "image": "/etc/passwd" })), 422, "invalid"),
        (server.post("/search", &json!({ "subtract": "dog" })), 422, "invalid"),
        (server.post("/search", &json!({ "query": "a", "top": 0 })), 422, "invalid"),
        (server.post("/search", &json!({ "query": "a", "min_probability": 2 })), 422, "invalid"),
        (server.post("/search", &json!({ "image": PNG, "min_probability": 0.5 })), 422, "invalid"),
        (server.post("/search", &json!({ "query": "a", "after": "x" })), 422, "invalid"),
        (server.post("/search", &json!({ "filter": { "taken_from": "x" } })), 422, "invalid"),
    ] {
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.text());
    }
    let nested = format!("{{\"add\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let status = server.request("POST", "/search", json_type, nested.as_bytes()).status;
    assert!([400, 422].contains(&status), "{status}");
    let blamed = |body: &Value| server.post("/search", body).json()["error"].clone();
    let error = blamed(&json!({ "query": "a", "filter": { "orientation": "tall" } }));
    assert_eq!(error["param"], "filter.orientation");
    assert!(error["message"].as_str().unwrap().starts_with("unknown variant `tall`"), "{error}");
    assert_eq!(blamed(&json!({ "qery": "dog" }))["param"], "qery");
    assert_eq!(blamed(&json!({ "query": 5 }))["param"], "query");
    let huge = vec![b' '; 40 << 20];
    assert_eq!(server.request("POST", "/search", json_type, &huge).status, 413);
    assert_eq!(server.get("/health").status, 200, "and it still answers");
}

#[test]
fn a_token_opens_what_a_stranger_may_not_see() {
    let dir = data();
    let index = ["index", "photos", "--library", "lib", "--model", "emoji-starter", "--quiet"];
    assert_status(&run(dir.path(), &index), 0);
    std::fs::write(dir.path().join("token"), "s3cret\n").unwrap();
    let mut server = Server::start(dir.path(), &["--library", "lib", "--token-file", "token"]);
    assert_eq!(server.get("/").status, 200, "the page asks for the token");
    for path in ["/metrics", "/v1/models", "/filters", "/items/x", "/items/x/image"] {
        let answer = server.get(path);
        assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_token"));
        assert!(answer.head.contains("www-authenticate: bearer"));
    }
    server.token = Some("s3cre");
    assert_eq!(server.post("/search", &json!({})).status, 401);
    server.token = Some("s3cret");
    assert_eq!(server.post("/search", &json!({})).status, 200);
}

#[test]
fn a_page_of_another_host_may_not_ask_and_not_frame() {
    let (_dir, server) = served();
    let answer =
        server.raw(b"GET /health HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert_eq!((answer.status, answer.code().as_str()), (403, "foreign_host"));
    let page = server.get("/");
    assert!(
        page.head.contains("frame-ancestors 'none'") && page.head.contains("x-frame-options: deny")
    );
    assert!(page.head.contains("default-src 'none'") && page.head.contains("nosniff"));
    assert!(!page.head.contains("access-control-allow"));
}

#[test]
fn an_address_that_others_reach_needs_a_token() {
    let dir = data();
    let index = ["index", "photos", "--library", "lib", "--model", "emoji-starter", "--quiet"];
    assert_status(&run(dir.path(), &index), 0);
    let open = ["serve", "--library", "lib", "--bind", "0.0.0.0:0"];
    assert_fails(&run(dir.path(), &open), 2, "others could reach", "--token-file");
    std::fs::write(dir.path().join("empty"), "\n").unwrap();
    let empty = [&open[..], &["--token-file", "empty"]].concat();
    assert_fails(&run(dir.path(), &empty), 2, "found nothing", "openssl rand");
    assert_fails(
        &run(dir.path(), &["serve", "--library", "lib", "--bind", "x"]),
        2,
        "a port",
        "7700",
    );
    assert_fails(&run(dir.path(), &["serve", "--library", "none"]), 2, "no library", "index");
}

#[test]
fn it_tells_what_it_does_and_what_it_has_done() {
    let (_dir, server) = served();
    server.search(json!({ "query": "red" }));
    let metrics = server.get("/metrics").text();
    assert!(
        metrics.contains("tombolo_requests_total{route=\"/search\",status=\"200\"} 1"),
        "{metrics}"
    );
    assert!(
        metrics.contains("tombolo_request_seconds_bucket")
            && metrics.contains("tombolo_library_photos 24")
    );
    let api = server.get("/openapi.json").json();
    for path in
        ["/search", "/items/{id}", "/items/{id}/why", "/v1/embeddings", "/health", "/filters"]
    {
        assert!(api["paths"][path].is_object(), "{path}");
    }
    for (path, field) in [("/search", "query"), ("/v1/embeddings", "input")] {
        let body = &api["paths"][path]["post"]["requestBody"];
        let schema = body["content"]["application/json"]["schema"]["$ref"].as_str().unwrap();
        let schema = api.pointer(&schema[1..]).unwrap();
        assert!(body["required"] == true && schema["properties"][field].is_object(), "{path}");
    }
    let why = &api["paths"]["/items/{id}/why"]["get"]["parameters"];
    assert_eq!((&why[0]["in"], &why[1]["in"]), (&json!("path"), &json!("query")));
    for path in ["/docs", "/docs.js", "/docs.css"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
}

#[test]
fn many_at_once_are_told_to_come_again_and_none_is_lost() {
    let dir = data();
    let index = ["index", "photos", "--library", "lib", "--model", "emoji-starter", "--quiet"];
    assert_status(&run(dir.path(), &index), 0);
    let server = Server::start(dir.path(), &["--library", "lib", "--max-requests", "1"]);
    // A photo that takes a while to read holds the one place.
    let photo = json!({ "image": uri(&png(6_000, 4_000)) });
    let words = json!({ "query": "red" });
    let (server, photo, words) = (&server, &photo, &words);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let ask = |n| {
            let body = if n % 5 == 0 { photo } else { words };
            scope.spawn(move || server.post("/search", body))
        };
        let asked: Vec<_> = (0..40).map(ask).collect();
        // For whoever watches there is room.
        assert!((0..5).all(|_| server.get("/metrics").status == 200));
        let answers = asked.into_iter().map(|thread| thread.join().unwrap());
        let statuses = answers.map(|answer| {
            let again = answer.head.contains("retry-after: 1");
            assert_eq!(answer.status == 429, again);
            answer.status
        });
        statuses.collect()
    });
    assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&200) && statuses.contains(&429), "{statuses:?}");
    assert_eq!(server.post("/search", words).status, 200);
}

#[test]
fn a_slow_client_and_one_that_leaves_keep_nobody_else_waiting() {
    let (_dir, server) = served();
    let mut slow: Vec<TcpStream> =
        (0..50).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    slow.iter_mut().for_each(|stream| stream.write_all(b"POST /search HT").unwrap());
    assert_eq!(server.post("/search", &json!({ "query": "red" })).status, 200);
    drop(slow);
    assert_eq!(server.post("/search", &json!({ "query": "red" })).status, 200);
}

#[test]
fn a_server_follows_the_library_and_the_map() {
    let dir = copy_of_trained();
    let path = dir.path();
    assert_status(&run(path, &["index", "photos", "--model", "model", "--library", "lib"]), 0);
    let server = Server::start(path, &["--library", "lib"]);
    let before = server.search(json!({ "query": "a red square", "top": 100 }));
    std::fs::remove_file(path.join("photos/red-left.png")).unwrap();
    assert_status(&run(path, &["index", "photos", "--library", "lib"]), 0);
    let after = server.search(json!({ "query": "a red square", "top": 100 }));
    assert_eq!(paths(&after).len() + 1, paths(&before).len());
    let train = [
        "train",
        "map",
        "csv:captions.csv",
        "--config",
        "settings.toml",
        "--model",
        "model",
        "--set",
        "map.kind=cca",
    ];
    std::fs::write(
        path.join("photos/red-left.png"),
        std::fs::read(path.join("photos/red-top.png")).unwrap(),
    )
    .unwrap();
    assert_status(&run(path, &train), 0);
    std::thread::sleep(Duration::from_millis(1_100));
    let mapped = server.search(json!({ "query": "a red square", "top": 100 }));
    assert_ne!(mapped["hits"][0]["score"], after["hits"][0]["score"]);
    // Other towers are another model: the library's vectors are not theirs.
    std::fs::remove_dir_all(path.join("model")).unwrap();
    let anew = ["train", "csv:captions.csv", "--config", "settings.toml", "--out", "model"];
    assert_status(&run(path, &[&anew[..], &["--seed", "7"]].concat()), 0);
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(server.search(json!({ "query": "a red square", "top": 100 })), mapped);
}

#[test]
fn another_map_answers_where_one_is_named_and_is_followed() {
    let dir = copy_of_trained();
    let path = dir.path();
    assert_status(&run(path, &["index", "photos", "--model", "model", "--library", "lib"]), 0);
    let map = |kind: &str| {
        let train =
            ["train", "map", "csv:captions.csv", "--config", "settings.toml", "--model", "model"];
        let kind = format!("map.kind={kind}");
        assert_status(&run(path, &[&train[..], &["--out", "other", "--set", &kind]].concat()), 0);
    };
    let by_program = || {
        let search = ["search", "a red square", "--library", "lib", "--map", "other", "--json"];
        let found = run(path, &search);
        assert_status(&found, 0);
        lines(&out(&found))
    };
    map("cca");
    let server = Server::start(path, &["--library", "lib", "--map", "other"]);
    let by_server = || {
        let page = server.search(json!({ "query": "a red square" }));
        page["hits"].as_array().unwrap().clone()
    };
    let same = |hits: &[Value], others: &[Value]| {
        let of = |hit: &Value| (hit["id"].clone(), hit["score"].clone());
        assert_eq!(
            hits.iter().map(of).collect::<Vec<_>>(),
            others.iter().map(of).collect::<Vec<_>>()
        );
    };
    same(&by_server(), &by_program());
    map("ridge");
    std::thread::sleep(Duration::from_millis(1_100));
    same(&by_server(), &by_program());
    let stranger = ["serve", "--library", "lib", "--map", "emoji-starter", "--bind", "127.0.0.1:0"];
    let refused = run(path, &stranger);
    assert_fails(&refused, 2, "text", "map");
    assert_eq!(out(&refused), "", "it never said where it listens");
}

#[cfg(unix)]
#[test]
fn what_has_begun_is_answered_when_the_server_is_told_to_stop() {
    let (_dir, mut server) = served();
    let body = json!({ "query": "red" }).to_string();
    let (begin, rest) = body.split_at(5);
    let head = format!(
        "POST /search HTTP/1.1\r\nHost: {}\r\n{JSON}Content-Length: {}\r\n\r\n{begin}",
        server.address,
        body.len()
    );
    let mut begun = server.connect();
    begun.write_all(head.as_bytes()).unwrap();
    // That the server has seen it, and not only the system.
    let is_seen = || server.get("/metrics").text().contains("tombolo_requests_in_flight 2");
    let pause = || std::thread::sleep(Duration::from_millis(10));
    assert!(
        (0..1_000).any(|_| is_seen() || {
            pause();
            false
        }),
        "the request was never seen"
    );
    let stopped = std::process::Command::new("kill").arg(server.child.id().to_string()).status();
    assert!(stopped.unwrap().success());
    let is_closed = || TcpStream::connect(&server.address).is_err();
    assert!(
        (0..1_000).any(|_| is_closed() || {
            pause();
            false
        }),
        "it takes new connections"
    );
    begun.write_all(rest.as_bytes()).unwrap();
    let answer = Server::read(begun);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["hits"].as_array().unwrap().len(), 10);
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[test]
fn texts_that_wait_together_are_encoded_together() {
    let (_dir, server) = served();
    let several_at_once = || {
        std::thread::scope(|scope| {
            for n in 0..16 {
                let server = &server;
                scope.spawn(move || server.search(json!({ "query": format!("red {n}") })));
            }
        });
        let metrics = server.get("/metrics").text();
        let count = |name: &str| {
            let line = metrics.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.rsplit(' ').next()?.parse::<u32>().ok()).expect(name)
        };
        count("tombolo_text_batch_size_bucket{le=\"1.0\"}") < count("tombolo_text_batch_size_count")
    };
    assert!((0..50).any(|_| several_at_once()), "each text was encoded alone");
}

#[test]
fn hits_are_counted_where_asked_for() {
    let (_dir, server) = served();
    let total = |body: Value| server.search(body)["total"].clone();
    assert_eq!(total(json!({ "query": "red", "top": 3 })), Value::Null);
    assert_eq!(total(json!({ "query": "red", "top": 3, "count": true })), 24);
    assert_eq!(total(json!({ "top": 3, "count": true })), 24);
    let red = json!({ "query": "red", "top": 3, "count": true, "filter": { "path": "*/red-*" } });
    assert_eq!(total(red), 4);
    let all = server.search(json!({ "query": "red", "top": 100 }));
    let least = all["hits"][7]["probability"].as_f64().unwrap();
    let cut = json!({ "query": "red", "top": 3, "count": true, "min_probability": least });
    let found = server.search(json!({ "query": "red", "top": 100, "min_probability": least }));
    assert_eq!(total(cut), found["hits"].as_array().unwrap().len());
}
