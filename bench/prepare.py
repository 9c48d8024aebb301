"""Makes the inputs of the benchmarks in a cache folder: the same weights and the same data for every contestant.

    python bench/prepare.py --cache CACHE --models MODELS --tombolo PROGRAM [--flickr8k FOLDER]

MODELS is the folder models/ of TOMBOLO_HOME; what is already in CACHE is kept.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent / "peers"))
import networks

CELLS, DIM = 197, 384


def once(path, make):
    if not path.exists():
        print(f"making {path.name}", file=sys.stderr)
        temporary = path.with_name("part-" + path.name)
        for left in path.parent.glob(temporary.name + "*"):  # by a run that was cut off
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        make(temporary)
        temporary.rename(path)


def pictures(count, path):
    """Pictures [count, 224, 224, 3] as preprocessing leaves them: about zero mean and unit deviation."""
    generator = np.random.default_rng(1)
    coarse = generator.normal(size=(count, 14, 14, 3)).repeat(16, 1).repeat(16, 2)
    noise = 0.3 * generator.normal(size=(count, 224, 224, 3))
    with path.open("wb") as file:
        np.save(file, (coarse + noise).astype(np.float32))


def hugging_face_vit(state):
    """timm's names and packed projections as transformers has them."""
    tensors = {
        "embeddings.cls_token": state["cls_token"],
        "embeddings.position_embeddings": state["pos_embed"],
        "layernorm.weight": state["norm.weight"],
        "layernorm.bias": state["norm.bias"],
    }
    for kind in ("weight", "bias"):
        tensors[f"embeddings.patch_embeddings.projection.{kind}"] = state[f"patch_embed.proj.{kind}"]
        for layer in range(12):
            ours, theirs = f"encoder.layer.{layer}", f"blocks.{layer}"
            parts = state[f"{theirs}.attn.qkv.{kind}"].chunk(3)
            for part, tensor in zip(("query", "key", "value"), parts):
                tensors[f"{ours}.attention.attention.{part}.{kind}"] = tensor.contiguous()
            for name, timm_name in {
                "attention.output.dense": "attn.proj", "layernorm_before": "norm1", "layernorm_after": "norm2",
                "intermediate.dense": "mlp.fc1", "output.dense": "mlp.fc2",
            }.items():
                tensors[f"{ours}.{name}.{kind}"] = state[f"{theirs}.{timm_name}.{kind}"]
    return tensors


def vit(folder):
    """A ViT-S/16 with seeded random weights, in timm's form and in Hugging Face's."""
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(1)
    folder.mkdir()
    state = timm.create_model("vit_small_patch16_224", pretrained=False, num_classes=0).state_dict()
    torch.save(state, folder / "timm.pt")
    save_file(hugging_face_vit(state), folder / "model.safetensors")
    config = dict(
        model_type="vit", hidden_size=DIM, num_hidden_layers=12, num_attention_heads=6, intermediate_size=1536,
        image_size=224, patch_size=16, layer_norm_eps=1e-6, hidden_act="gelu",
    )
    (folder / "config.json").write_text(json.dumps(config))


def minilm_onnx(weights, path):
    """MiniLM exported, then fused by ONNX Runtime's own optimiser for transformers."""
    from onnxruntime.transformers import optimizer

    ids = torch.ones(2, 7, dtype=torch.int64)
    axes = {0: "batch", 1: "tokens"}
    names = ["input_ids", "attention_mask"]
    networks.export(networks.minilm(weights), (ids, ids), names, path, {name: axes for name in names + ["output"]})
    fused = optimizer.optimize_model(str(path), model_type="bert", num_heads=12, hidden_size=384, opt_level=1)
    fused.save_model_to_file(str(path))


def base(path, rows=1_000_000, dim=512):
    """Unit vectors around 5,000 centres, as embeddings lie, with 1,000 queries beside them."""
    generator = np.random.default_rng(2)
    centres = generator.normal(size=(5_000, dim)).astype(np.float32)
    vectors = np.lib.format.open_memmap(path, "w+", np.float32, (rows + 1_000, dim))
    for start in range(0, len(vectors), 50_000):
        block = vectors[start : start + 50_000]
        block[:] = centres[generator.integers(len(centres), size=len(block))]
        block += generator.normal(size=block.shape).astype(np.float32)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    vectors.flush()


def pairs(path, rows=30_000, text=1024, image=2816, latent=128):
    """Vectors of pairs that share a latent part, as wide as the default towers': `text.npy` and `image.npy`."""
    path.mkdir(exist_ok=True)
    generator = np.random.default_rng(3)
    shared = generator.normal(size=(rows, latent)).astype(np.float32)
    for side, width in (("text", text), ("image", image)):
        projection = generator.normal(size=(latent, width)).astype(np.float32)
        noise = generator.normal(size=(rows, width)).astype(np.float32)
        np.save(path / f"{side}.npy", shared @ projection + 5 * noise)


def glorot(generator, output, input):
    bound = np.sqrt(6 / (output + input))
    return generator.uniform(-bound, bound, (output, input)).astype(np.float32)


def layer(generator, output, input):
    return {"weight": glorot(generator, output, input), "bias": np.zeros(output, np.float32)}


def norm(dim):
    return {"weight": np.ones(dim, np.float32), "bias": np.zeros(dim, np.float32)}


def flat(tree, prefix=""):
    """Nested dictionaries as one with dotted names."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    parts = (flat(value, f"{prefix}.{name}" if prefix else name) for name, value in tree.items())
    return {name: value for part in parts for name, value in part.items()}


def map_start(path, text=1024, image=2816, dim=512, hidden=1024):
    """Initial weights of the map, by Tombolo's names. The last layers do not start at zero, so that all is compared."""
    from safetensors.numpy import save_file

    generator = np.random.default_rng(4)
    side = lambda width: {"linear": layer(generator, dim, width), "expand": layer(generator, hidden, width),
                          "contract": layer(generator, dim, hidden)}
    tree = {"text": side(text), "image": side(image), "log_scale": np.array(np.log(20), np.float32)}
    save_file(flat(tree), path)


def tower_start(path, input=384, width=256, layers=2, positions=64, output=256):
    """Initial weights of the text tower, by Tombolo's names."""
    from safetensors.numpy import save_file

    generator = np.random.default_rng(5)
    normal = lambda *shape: (0.02 * generator.normal(size=shape)).astype(np.float32)
    encoder = lambda: {
        "norm_attention": norm(width), "qkv": layer(generator, 3 * width, width), "output": layer(generator, width, width),
        "norm_mlp": norm(width), "expand": layer(generator, 4 * width, width), "contract": layer(generator, width, 4 * width),
    }
    tree = {
        "input_norm": norm(input), "projection": layer(generator, width, input), "class": normal(1, width),
        "positions": normal(positions + 1, width), "layer": {str(i): encoder() for i in range(layers)},
        "norm": norm(width), "output": layer(generator, output, width),
    }
    save_file(flat(tree), path)


def features(path, texts=30_000, dim=384, captions=5):
    """A feature cache of synthetic texts, in the form of Tombolo's feature store: `rows.f16` and `index`.

    8 to 30 tokens a text, 13.8 in the mean, as captions of Flickr8K have; text i belongs to picture i // 5, whose
    texts share a latent part. The key of a text is its number.
    """
    path.mkdir(exist_ok=True)
    generator = np.random.default_rng(6)
    lengths = np.clip(8 + generator.gamma(2.0, 3.2, texts).astype(int), 8, 30)
    firsts = np.concatenate([[0], lengths.cumsum()])
    pictures = 0.5 * generator.normal(size=(texts // captions + 1, dim)).astype(np.float32)
    with (path / "rows.f16").open("wb") as rows, (path / "index").open("wb") as index:
        for text, length in enumerate(lengths):
            values = pictures[text // captions] + generator.normal(size=(length, dim)).astype(np.float32)
            rows.write(values.astype("<f2").tobytes())
            index.write(text.to_bytes(32, "little") + int(firsts[text]).to_bytes(8, "little") + int(length).to_bytes(4, "little"))


def captions(flickr8k, path):
    images = json.loads((flickr8k / "dataset_flickr8k.json").read_text())["images"]
    path.write_text(json.dumps([sentence["raw"] for image in images for sentence in image["sentences"]]))


def photos(flickr8k, folder):
    """The first 1,000 files, linked."""
    folder.mkdir()
    for path in sorted((flickr8k / "images").iterdir())[:1_000]:
        (folder / path.name).symlink_to(path)


def query_vectors(path):
    """Vectors to search in Python: as many as the library has, as wide as MiniLM's."""
    generator = np.random.default_rng(4)
    vectors = generator.normal(size=(7_000, 384)).astype(np.float32)
    with path.open("wb") as file:
        np.save(file, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def model(tombolo, flickr8k, folder):
    """A model on MiniLM and EfficientNet-Lite0 whose map is closed: minutes to train."""
    settings = ["--set", "image.backbone=efficientnet-lite0", "--set", "map.kind=cca"]
    run(tombolo, "train", f"flickr8k:{flickr8k}", "--out", folder, *settings)


def library(tombolo, flickr8k, model, folder):
    run(tombolo, "index", flickr8k / "images", "--library", folder, "--model", model)
    run(tombolo, "search", "a dog", "--library", folder)  # maps the vectors


def run(*command):
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL, stderr=sys.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("cache", "models", "tombolo", "flickr8k"):
        parser.add_argument(f"--{name}", type=Path, required=name != "flickr8k")
    arguments = parser.parse_args()
    cache, models, flickr8k = arguments.cache, arguments.models, arguments.flickr8k
    cache.mkdir(parents=True, exist_ok=True)
    once(cache / "pictures.npy", lambda path: pictures(16, path))
    once(cache / "vit", vit)
    sample = torch.zeros(8, 3, 224, 224)
    once(cache / "vit.onnx", lambda p: networks.export(networks.vit(cache / "vit"), (sample,), ["input"], p))
    weights = models / "efficientnet-lite0/model.pth"
    sample = torch.zeros(16, 3, 224, 224)
    once(cache / "lite0.onnx", lambda p: networks.export(networks.efficientnet(weights), (sample,), ["input"], p))
    once(cache / "minilm.onnx", lambda path: minilm_onnx(models / "all-minilm-l6-v2", path))
    once(cache / "base.npy", base)
    once(cache / "pairs", pairs)
    once(cache / "map_start.safetensors", map_start)
    once(cache / "features", features)
    once(cache / "few_features", lambda path: features(path, texts=256))
    once(cache / "tower_start.safetensors", tower_start)
    if flickr8k:
        once(cache / "captions.json", lambda path: captions(flickr8k, path))
        once(cache / "photos", lambda folder: photos(flickr8k, folder))
        once(cache / "query-vectors.npy", query_vectors)
        once(cache / "model", lambda folder: model(arguments.tombolo, flickr8k, folder))
        once(cache / "library", lambda folder: library(arguments.tombolo, flickr8k, cache / "model", folder))
