#!/usr/bin/env bash
# ViT-B/16, DINOv2-small, BERT base and XLM-R base with random weights against transformers: parity/real_networks.sh [PYTHON]
#
# PYTHON has torch and transformers, in the versions that parity/vit/make.py names. Half a gigabyte lies in a temporary folder meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${1:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" parity/vit/make.py "$folder"
"$python" parity/bert/make.py --real "$folder"
TOMBOLO_REAL=$folder cargo test --release --workspace --test parity -- --ignored real_size
