"""One epoch of the text tower in PyTorch, from the same cached features: `python train_tower.py CACHE MODELS pytorch`."""

import sys
from pathlib import Path

import numpy as np
import worker

torch = worker.torch_threads()
torch.set_grad_enabled(True)
import torch.nn.functional as F
import training

cache = Path(sys.argv[1])
DIM, WIDTH, LAYERS, HEADS = 384, 256, 2, 4
BATCH, RATE, DECAY, TEMPERATURE, QUEUE, MOMENTUM, SELF_PAIR = 256, 5e-4, 0.05, 0.05, 4096, 0.99, 0.25
RECORD = np.dtype([("key", "V32"), ("first", "<u8"), ("rows", "<u4")])


def cached(folder):
    """The rows of all texts, and the first row and number of rows of each text."""
    rows = np.memmap(folder / "rows.f16", "<f2", "r").reshape(-1, DIM)
    index = np.fromfile(folder / "index", RECORD)
    return rows, np.stack([index["first"].astype(int), index["rows"].astype(int)], 1)


def view(store, texts, drop, generator):
    """Features [texts, longest, DIM] with a share of the tokens left out, and which of them are there."""
    rows, index = store
    kept = []
    for first, length in index[texts]:
        count = max(round(length * (1 - drop)), 1)
        places = np.sort(generator.permutation(length)[:count]) if count < length else np.arange(length)
        kept.append(first + places)
    lengths = torch.tensor([len(places) for places in kept])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    features = torch.zeros(*mask.shape, DIM)
    features[mask] = torch.from_numpy(rows[np.concatenate(kept)]).float()
    return features, mask


class Tower:
    """The encoder of the paper; the last layer is computed for the class token alone, as in Tombolo."""

    def __init__(self, weights):
        self.weights = weights

    def linear(self, x, name):
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def norm(self, x, name):
        return F.layer_norm(x, x.shape[-1:], self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], 1e-5)

    def layer(self, x, name, mask, rows):
        """One layer of which the first `rows` positions are wanted."""
        split = lambda x: x.unflatten(2, (HEADS, WIDTH // HEADS)).transpose(1, 2)
        query, key, value = self.linear(self.norm(x, f"{name}.norm_attention"), f"{name}.qkv").chunk(3, 2)
        attended = F.scaled_dot_product_attention(split(query[:, :rows]), split(key), split(value), mask)
        x = x[:, :rows] + self.linear(attended.transpose(1, 2).flatten(2), f"{name}.output")
        inner = F.gelu(self.linear(self.norm(x, f"{name}.norm_mlp"), f"{name}.expand"))
        return x + self.linear(inner, f"{name}.contract")

    def __call__(self, features, mask):
        x = self.linear(self.norm(features, "input_norm"), "projection")
        x = torch.cat([self.weights["class"].expand(len(x), 1, WIDTH), x], 1)
        x = x + self.weights["positions"][: x.shape[1]]
        mask = F.pad(mask, (1, 0), value=True)[:, None, None, :]
        for layer in range(LAYERS):
            x = self.layer(x, f"layer.{layer}", mask, 1 if layer == LAYERS - 1 else x.shape[1])
        return F.normalize(self.linear(self.norm(x[:, 0], "norm"), "output"), dim=1)


def supcon(queries, keys, positives):
    logs = F.log_softmax(queries @ keys.t() / TEMPERATURE, 1)
    return -((logs * positives).sum(1) / positives.sum(1)).mean()


def train(store, epochs, drop, group):
    texts = len(store[1])
    generator = np.random.default_rng(0)
    weights = training.parameters(cache / "tower_start.safetensors")
    reference_weights = training.copy(weights)
    tower, reference = Tower(weights), Tower(reference_weights)
    optimizer = training.Optimizer(weights.values(), DECAY)
    queue, queue_groups = torch.zeros(0, WIDTH), np.zeros(0, int)
    losses, steps = [], epochs * -(-texts // BATCH)
    for _ in range(epochs):
        order = generator.permutation(texts)
        for items in np.split(order, range(BATCH, texts, BATCH)):
            others = items - items % group + (items % group + generator.integers(1, max(group, 2), len(items))) % group
            partners = np.where(generator.random(len(items)) < SELF_PAIR, items, others)
            queries = tower(*view(store, items, drop, generator))
            with torch.no_grad():
                keys = reference(*view(store, partners, drop, generator))
            key_groups = np.concatenate([partners // group, queue_groups])
            positives = torch.from_numpy((items // group)[:, None] == key_groups).float()
            all_keys = torch.cat([keys, queue])
            loss = supcon(queries, all_keys, positives)
            optimizer.step(loss, training.one_cycle(RATE, len(losses), steps))
            training.follow(reference_weights, weights, MOMENTUM)
            queue, queue_groups = all_keys[:QUEUE], key_groups[:QUEUE]
            losses.append(loss.item())
    return training.losses(losses)


store, few = cached(cache / "features"), cached(cache / "few_features")
worker.serve(lambda: train(store, 1, 0.1, 5), lambda: train(few, 5, 0.0, 1))
