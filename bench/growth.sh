#!/usr/bin/env bash
# How a library's time and memory grow: bench/growth.sh [ROWS]..., by default 10,000, 100,000 and a million rows of 512.
#
# Each step is a process of its own over the vectors of base.npy, which bench/run.sh makes (BENCH_HOME as there). Libraries lie
# beside it while the script runs: 4 GB for a million rows. A graph is made up to LINK_ROWS rows (a million, which takes twelve minutes).
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${BENCH_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/tombolo-bench}/inputs
cargo build --release -p tombolo -p tombolo-bench
step() { target/release/tombolo-bench "growth:$1:$2" "$cache" "$cache"; }

for rows in "${@:-10000 100000 1000000}"; do
    for n in $rows; do
        rm -rf "$cache/growth-$n"
        step index "$n"
        if [ "$n" -le "${LINK_ROWS:-1000000}" ]; then step link "$n"; fi
        step search "$n"
        rm -rf "$cache/growth-$n"
    done
done
