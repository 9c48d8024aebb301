#!/usr/bin/env bash
# The paper's Tables 1 to 3 in form, for its four baselines and for our own models: bench/paper.sh [--weights NAME=MODEL]... [--only PART]...
#
# NAME is ALIGN, AltCLIP, CLIP or GroupViT, MODEL what `tombolo eval --model` takes: a directory, or hf:OWNER/NAME. A baseline without
# weights is measured with random ones of its real size, which take the same time and mean nothing; the tables say so.
# Needs what bench/run.sh needs, and Flickr8K (TOMBOLO_FLICKR8K); TOMBOLO_FG names Flickr30K_FG_ann.json, TOMBOLO_COCO a folder that
# `coco:` reads. Writes docs/paper.md, and reports with plots and galleries below BENCH_HOME/paper.
set -euo pipefail
cd "$(dirname "$0")/.."

home=${BENCH_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/tombolo-bench}
export TOMBOLO_HOME=${TOMBOLO_HOME:-$home/tombolo}
mkdir -p "$home/paper" "$TOMBOLO_HOME"

if ! cmp -s bench/paper/requirements.txt "$home/paper/requirements.txt"; then
    python3 -m venv "$home/paper/venv"
    "$home/paper/venv/bin/pip" install --quiet -r bench/paper/requirements.txt
    cp bench/paper/requirements.txt "$home/paper/requirements.txt"
fi
cargo build --release -p tombolo
exec "$home/paper/venv/bin/python" bench/paper/run.py --tombolo target/release/tombolo --home "$home" --docs docs \
    --flickr8k "${TOMBOLO_FLICKR8K:-../shared/data/flickr8k}" --fg "${TOMBOLO_FG:-../shared/data/fg/Flickr30K_FG_ann.json}" \
    --coco "${TOMBOLO_COCO:-}" "$@"
