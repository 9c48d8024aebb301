//! A server behind TLS that asks for a token.

use std::path::Path;
use std::process::{Command, Output};

use super::{assert_refused, collection, command, done, index, photos, server};

/// An environment variable that `.ci/milvus` sets.
fn given(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

/// A command that knows the authority, and shows a token.
fn trusting(dir: &Path, arguments: &[&str], token: &str) -> Command {
    let mut command = command(dir, arguments);
    command.env("TOMBOLO_MILVUS_CA", given("TOMBOLO_TEST_MILVUS_CA"));
    command.env("TOMBOLO_MILVUS_TOKEN", token);
    command
}

#[track_caller]
fn assert_kept_out(output: &Output) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("TOMBOLO_MILVUS_TOKEN"), "{text}");
}

#[test]
fn only_those_with_the_token_and_over_tls_are_let_in() {
    let Some(_) = server() else { return };
    let (guarded, token) =
        (given("TOMBOLO_TEST_MILVUS_GUARDED"), given("TOMBOLO_TEST_MILVUS_TOKEN"));
    let dir = photos();
    let dir = dir.path();
    index(dir);
    let cluster = collection(&guarded, "guarded");
    let copy = ["library", "copy", "lib", &cluster];
    done(&trusting(dir, &copy, &token).output().unwrap());
    let search = ["search", "red", "--library", &cluster, "--top", "3", "-0"];
    let found = done(&trusting(dir, &search, &token).output().unwrap());
    let local = ["search", "red", "--library", "lib", "--top", "3", "-0"];
    assert_eq!(found, done(&command(dir, &local).output().unwrap()));

    assert_kept_out(&trusting(dir, &search, "root:wrong").output().unwrap());
    assert_kept_out(&command(dir, &search).output().unwrap());
    // A server that nobody vouches for.
    let mut unknown = command(dir, &search);
    unknown.env("TOMBOLO_MILVUS_TLS", "true").env("TOMBOLO_MILVUS_TOKEN", &token);
    assert_kept_out(&unknown.output().unwrap());
    let mut unclear = command(dir, &search);
    unclear.env("TOMBOLO_MILVUS_TLS", "maybe");
    assert_refused(&unclear.output().unwrap(), "TOMBOLO_MILVUS_TLS", "TOMBOLO_MILVUS_CA");
}
