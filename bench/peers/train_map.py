"""One epoch of the map in PyTorch: `python train_map.py CACHE MODELS pytorch`."""

import random
import sys
from pathlib import Path

import numpy as np
import worker

torch = worker.torch_threads()
torch.set_grad_enabled(True)
import torch.nn.functional as F
import training

cache = Path(sys.argv[1])
PAIRS = [torch.from_numpy(np.load(cache / f"pairs/{side}.npy")) for side in ("image", "text")]
BATCH, RATE, DECAY, AVERAGE = 1500, 1e-3, 0.15, 0.99


def standardised(rows):
    deviation, mean = torch.std_mean(rows, 0, correction=0)
    return (rows - mean).div_(deviation)


def head(weights, side, x, dropout):
    linear = lambda x, layer: F.linear(x, weights[f"{side}.{layer}.weight"], weights[f"{side}.{layer}.bias"])
    inner = F.dropout(F.gelu(linear(x, "expand")), dropout)
    return F.normalize(linear(x, "linear") + linear(inner, "contract"), dim=1)


def infonce(image, text, scale):
    logits = scale * image @ text.t()
    target = torch.arange(len(logits))
    return 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.t(), target))


def train(rows, epochs, input_dropout, dropout, mixup, two_texts):
    images, texts = (standardised(side[:rows]) for side in PAIRS)
    weights = training.parameters(cache / "map_start.safetensors")
    average = training.copy(weights)
    optimizer = training.Optimizer(weights.values(), DECAY)
    losses, steps = [], epochs * -(-rows // BATCH)
    for _ in range(epochs):
        for items in torch.randperm(rows).split(BATCH):
            # One text a picture here, so that the mean of two is the mean of it and itself, as in Tombolo.
            text = texts[items]
            if random.random() < two_texts:
                text = (text + texts[items]).mul_(0.5)
            image = images[items]
            if random.random() < mixup:
                partners, share = torch.randperm(len(items)), random.random()
                image, text = torch.lerp(image[partners], image, share), torch.lerp(text[partners], text, share)
            image, text = F.dropout(image, input_dropout), F.dropout(text, input_dropout)
            image, text = head(weights, "image", image, dropout), head(weights, "text", text, dropout)
            loss = infonce(image, text, weights["log_scale"].exp().clamp(max=100))
            step = len(losses)
            optimizer.step(loss, training.one_cycle(RATE, step, steps))
            training.follow(average, weights, min(AVERAGE, (1 + step) / (10 + step)))
            losses.append(loss.item())
    return training.losses(losses)


worker.serve(lambda: train(len(PAIRS[0]), 1, 0.3, 0.5, 0.5, 0.33), lambda: train(BATCH, 5, 0.0, 0.0, 0.0, 0.0))
