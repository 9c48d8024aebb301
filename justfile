# What is done often. `just` lists it, and each line runs by hand as well.

default:
    @just --list

# Build the program.
build:
    cargo build --release

# All tests, as README says.
test:
    cargo test --workspace

# Formatting and lints, as CI wants them.
lint:
    cargo fmt --all -- --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# The main job on embedded data.
quickstart:
    cargo run --release -- quickstart

# Everything that CI runs.
ci:
    bash .ci/run
