"""Checks `tombolo eval` against NumPy: the same metrics from the vectors that `tombolo embed` writes, to the last digit.

Reference: NumPy 2 in float64. Tolerance: none; every figure but the bootstrap interval must be equal.

    python parity/metrics/check.py TOMBOLO KARPATHY.json IMAGES_DIR MODEL SPLIT

TOMBOLO is the program, KARPATHY.json a data set in Karpathy's format, MODEL a run directory. Every photo is read and encoded
twice, once by each command. Exits with 1 and names the figures if any differ.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np


def ranks_of_relevant(scores, relevant):
    """Ranks, from 1, of each query's relevant items; an irrelevant item of equal score counts as ranked before."""
    ranks = []
    for row, items in zip(scores, relevant):
        wanted = np.sort(row[items])[::-1]
        others = np.sort(np.delete(row, items))
        before = len(others) - np.searchsorted(others, wanted, side="left")
        ranks.append(before + np.arange(1, len(items) + 1))
    return ranks


def metrics(scores, relevant):
    ranks = ranks_of_relevant(scores, relevant)
    hits = lambda k: np.array([(r <= k).sum() for r in ranks], dtype=np.float64)
    counts = np.array([len(r) for r in ranks], dtype=np.float64)
    out = {}
    for k in (1, 5, 10):
        out[f"recall@{k}"] = (hits(k) > 0).mean()
        out[f"true_recall@{k}"] = (hits(k) / np.minimum(k, counts)).mean()
        out[f"precision@{k}"] = (hits(k) / k).mean()
    precisions = [np.arange(1, len(r) + 1) / r for r in ranks]
    at_50 = [p[r <= 50].sum() / max((r <= 50).sum(), 1) for p, r in zip(precisions, ranks)]
    out["map@50"] = np.mean(at_50)
    out["map@all"] = np.mean([p.sum() / len(p) for p in precisions])
    first = np.array([r[0] for r in ranks], dtype=np.float64)
    out["median_rank"], out["mean_rank"] = np.median(first), first.mean()
    return out


def embed(tombolo, model, inputs, folder):
    path = Path(folder) / "vectors.npy"
    subprocess.run([tombolo, "embed", *inputs, "--model", model, "--out", path, "--quiet"], check=True)
    return np.load(path).astype(np.float64)


def main(tombolo, file, images_dir, model, split):
    entries = [e for e in json.loads(Path(file).read_text())["images"] if e["split"] == split]
    with tempfile.TemporaryDirectory() as folder:
        images = embed(tombolo, model, [Path(images_dir) / e["filename"] for e in entries], folder)
        texts = Path(folder) / "texts.txt"
        texts.write_text("".join(s["raw"].strip() + "\n" for e in entries for s in e["sentences"]))
        texts = embed(tombolo, model, [texts], folder)
    of_text = np.repeat(np.arange(len(entries)), [len(e["sentences"]) for e in entries])
    scores = images @ texts.T
    expected = {
        "image_to_text": metrics(scores, [np.flatnonzero(of_text == i) for i in range(len(entries))]),
        "text_to_image": metrics(scores.T, [[i] for i in of_text]),
    }
    data = f"karpathy:{file},images={images_dir}"
    run = [tombolo, "eval", data, "--split", split, "--model", model, "--json"]
    found = json.loads(subprocess.run(run, check=True, capture_output=True).stdout)
    wrong = 0
    for side, values in expected.items():
        for name, value in values.items():
            same = found[side][name] == value
            wrong += not same
            print(f"{side:14} {name:15} {found[side][name]!r:22} {'equal' if same else f'NumPy says {value!r}'}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    main(*sys.argv[1:])
