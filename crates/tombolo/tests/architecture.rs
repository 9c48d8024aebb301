//! Arrows point down only, and only some crates link the tensor library: see `ARCHITECTURE.md`.

#![allow(clippy::unwrap_used)]

use std::process::Command;

use serde_json::Value;

/// Each crate and the floor that it stands on.
const FLOORS: [(&str, u32); 9] = [
    ("tombolo-vectors", 0),
    ("tombolo-kernels", 1),
    ("tombolo-data", 1),
    ("tombolo-eval", 1),
    ("tombolo-models", 2),
    ("tombolo-train", 3),
    ("tombolo-search", 3),
    ("tombolo", 4),
    ("tombolo-bench", 4),
];

const TENSOR_CRATES: [&str; 5] =
    ["tombolo-kernels", "tombolo-models", "tombolo-train", "tombolo", "tombolo-bench"];

fn floor(name: &str) -> Option<u32> {
    FLOORS.iter().find(|(known, _)| *known == name).map(|(_, floor)| *floor)
}

/// Each crate of the workspace with the names of its dependencies, those of tests included.
fn workspace() -> Vec<(String, Vec<String>)> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|p| (name(p), p["dependencies"].as_array().unwrap().iter().map(name).collect()))
        .collect()
}

#[test]
fn every_crate_stands_on_a_floor() {
    let mut found: Vec<String> = workspace().into_iter().map(|(name, _)| name).collect();
    let mut expected: Vec<String> = FLOORS.iter().map(|(name, _)| (*name).to_owned()).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn arrows_point_down_only() {
    for (name, dependencies) in workspace() {
        for dependency in &dependencies {
            let Some(below) = floor(dependency) else { continue };
            assert!(Some(below) < floor(&name), "{name} may not see {dependency}");
        }
    }
}

#[test]
fn only_some_crates_link_the_tensor_library() {
    for (name, dependencies) in workspace() {
        if dependencies.iter().any(|dependency| dependency.starts_with("candle")) {
            assert!(TENSOR_CRATES.contains(&name.as_str()), "{name} links the tensor library");
        }
    }
}
