#!/usr/bin/env bash
# Trains the models that are built into the program, models/*, anew: bench/starters.sh
#
# Needs Flickr8K (TOMBOLO_FLICKR8K). What the cards, models/*/README.md, say of results is printed by the training.
set -euo pipefail
cd "$(dirname "$0")/.."

flickr8k=${TOMBOLO_FLICKR8K:-../shared/data/flickr8k}
cargo build --release
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

keep() { # NAME FILE...: what of a run is built in
    local name=$1
    shift
    mkdir -p "models/$name"
    for file in model.toml text.safetensors image.safetensors map.safetensors calibration.json "$@"; do
        cp "$work/$name/$file" "models/$name/"
    done
}

target/release/tombolo train "flickr8k:$flickr8k" --out "$work/photo-starter" --config bench/photo-starter.toml
# Where the data lay is nobody's business.
sed -i 's|^dataset = .*|dataset = "flickr8k"|' "$work/photo-starter/model.toml"
keep photo-starter
target/release/tombolo train emoji --out "$work/emoji-starter" --config bench/emoji-starter.toml
keep emoji-starter tokenizer.json
du -ch models/*/*.safetensors
