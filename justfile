# What is done often. `just` lists it, and each line runs by hand as well.

default:
    @just --list

# Build the program.
build:
    cargo build --release

# All tests, as README says.
test:
    cargo test --release --workspace

# Formatting and lints, as CI wants them.
lint:
    cargo fmt --all -- --check
    cargo clippy --release --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# The kernels' NEON form, under emulation. Needs Debian's qemu-user and gcc-aarch64-linux-gnu, and the Rust target.
test-arm:
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu" \
    cargo test -p tombolo-kernels --target aarch64-unknown-linux-gnu

# Ours and the peers, in turns: see bench/README.md.
bench *arguments:
    bash bench/run.sh {{arguments}}

# The main job on embedded data.
quickstart:
    cargo run --release -- quickstart

# Everything that CI runs.
ci:
    bash .ci/run
