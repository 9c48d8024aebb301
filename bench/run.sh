#!/usr/bin/env bash
# Times Tombolo and its peers in the same run: bench/run.sh [--json OUT] [--only NAME]...
#
# Needs Rust, and Python 3.10 or later with pip. The peers go into a virtual environment outside the repository
# (BENCH_HOME, by default ~/.cache/tombolo-bench), about 6 GB with the inputs. TOMBOLO_FLICKR8K names the folder of Flickr8K in
# Karpathy's format; rows that need it are left out where it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

home=${BENCH_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/tombolo-bench}
flickr8k=${TOMBOLO_FLICKR8K:-../shared/data/flickr8k}
export TOMBOLO_HOME=${TOMBOLO_HOME:-$home/tombolo}
mkdir -p "$home" "$TOMBOLO_HOME"

if ! cmp -s bench/requirements.txt "$home/requirements.txt"; then
    python3 -m venv "$home/venv"
    "$home/venv/bin/pip" install --quiet -r bench/requirements.txt
    cp bench/requirements.txt "$home/requirements.txt"
fi
cargo build --release -p tombolo -p tombolo-bench
target/release/tombolo pull all-minilm-l6-v2 efficientnet-lite0

data=()
if [ -d "$flickr8k" ]; then data=(--flickr8k "$(realpath "$flickr8k")"); fi
"$home/venv/bin/python" bench/prepare.py --cache "$home/inputs" --models "$TOMBOLO_HOME/models" --tombolo target/release/tombolo "${data[@]}" 2>"$home/prepare.log" ||
    { cat "$home/prepare.log" >&2; exit 1; }
exec "$home/venv/bin/python" bench/run.py --cache "$home/inputs" --models "$TOMBOLO_HOME/models" "${data[@]}" "$@"
