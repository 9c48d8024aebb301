#!/usr/bin/env bash
# Trains what docs/results.md compares and writes it anew, with its plots: bench/quality.sh [--only GROUP]... [--row NAME]... [--seeds 0,1,2] [--write]
#
# Needs what bench/run.sh needs, and Flickr8K (TOMBOLO_FLICKR8K). The figures of every run are kept in bench/quality/results.json, and what
# is there is not trained again (remove the file to train all anew); runs themselves lie in BENCH_HOME/quality. --write trains nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

home=${BENCH_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/tombolo-bench}
flickr8k=${TOMBOLO_FLICKR8K:-../shared/data/flickr8k}
export TOMBOLO_HOME=${TOMBOLO_HOME:-$home/tombolo}
mkdir -p "$home/quality" "$TOMBOLO_HOME"

if ! cmp -s bench/quality/requirements.txt "$home/quality/requirements.txt"; then
    python3 -m venv "$home/quality/venv"
    "$home/quality/venv/bin/pip" install --quiet -r bench/quality/requirements.txt
    cp bench/quality/requirements.txt "$home/quality/requirements.txt"
fi
cargo build --release
exec "$home/quality/venv/bin/python" bench/quality/run.py --tombolo target/release/tombolo --flickr8k "$flickr8k" \
    --runs "$home/quality/runs" --docs docs "$@"
