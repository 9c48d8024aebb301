"""Figures that `tombolo train` does not print: parameters trained, and recalls of summed similarities."""

import json
import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np

# Fitted, not trained.
FITTED = (".mean", ".scale")
# Training vectors that hubs are held back by.
TAKEN = "hubness."


def parameters(folder, stages):
    """Elements of the tensors that the stages trained."""
    count = 0
    for stage in ("text", "image", "map") if "joint" in stages else stages:
        with (folder / f"{stage}.safetensors").open("rb") as file:
            header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        shapes = [entry["shape"] for name, entry in header.items()
                  if name != "__metadata__" and not (stage == "map" and (name.endswith(FITTED) or name.startswith(TAKEN)))]
        count += sum(int(np.prod(shape)) for shape in shapes)
    return count


def ensemble(tombolo, flickr8k, runs):
    """Recalls on val of the sum of the runs' similarities."""
    images = [image for image in json.loads((flickr8k / "dataset_flickr8k.json").read_text())["images"]
              if image["split"] == "val"]
    photos = [str(flickr8k / "images" / image["filename"]) for image in images]
    texts = [sentence["raw"] for image in images for sentence in image["sentences"]]
    image_of_text = np.array([place for place, image in enumerate(images) for _ in image["sentences"]])
    scores = sum(embed(tombolo, run, photos) @ embed(tombolo, run, texts).T for run in runs)
    own = np.zeros(scores.shape, bool)
    own[image_of_text, np.arange(len(texts))] = True
    # Ties rank pessimistically: an equal score counts as ranked before the right answer.
    best = np.where(own, scores, -np.inf).max(1, keepdims=True)
    image_ranks = ((scores >= best) & ~own).sum(1)
    text_ranks = (scores >= scores[image_of_text, np.arange(len(texts))]).sum(0) - 1
    metrics = {f"val.{side}.recall@{k}": float((ranks < k).mean()) for k in (1, 5, 10)
               for side, ranks in (("image_to_text", image_ranks), ("text_to_image", text_ranks))}
    return metrics | {"val.rsum": 100 * sum(metrics.values())}


def embed(tombolo, run, inputs):
    """Mapped vectors of photos or texts, a thousand at a time."""
    parts = []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "vectors.npy"
        for start in range(0, len(inputs), 1_000):
            command = [tombolo, "embed", *inputs[start:start + 1_000], "--model", run, "--out", out, "--quiet"]
            subprocess.run(command, check=True)
            parts.append(np.load(out))
            out.unlink()
    return np.concatenate(parts).astype(np.float64)
