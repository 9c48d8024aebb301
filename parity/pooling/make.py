"""Golden file for learned pooling.

Reference: the generalised pooling operator of Chen et al. 2021 ("Learning the Best Pooling Strategy for Visual Semantic Embedding", §3.2), written
here from the paper's equations with torch.nn.GRU; torch 2.15.0, float32 on the CPU; seed 1. Places are encoded in 32 sines and cosines, the generator
is a bidirectional GRU of 32 whose directions are averaged and a linear layer without bias, the softmax has a temperature of 0.1.
Tolerance: relative error 1e-4.

    python parity/pooling/make.py

writes
    pooling.safetensors     pooling.gru.*, pooling.score.weight: the weights as a tower has them; values [rows, 6] of sequences of 5, 1 and 9 rows;
                            expected [3, 12]: the mean and the learned pooling of each sequence, each of unit norm, both over √2
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

LENGTHS, WIDTH, DIM = [5, 1, 9], 32, 6


def encoded(length):
    places = torch.arange(length).float().unsqueeze(1)
    rates = torch.exp(torch.arange(0, WIDTH, 2).float() * -(torch.log(torch.tensor(10_000.0)) / WIDTH))
    encoding = torch.zeros(length, WIDTH)
    encoding[:, 0::2], encoding[:, 1::2] = torch.sin(places * rates), torch.cos(places * rates)
    return encoding


def main():
    torch.manual_seed(1)
    gru = torch.nn.GRU(WIDTH, WIDTH, batch_first=True, bidirectional=True)
    score = torch.nn.Linear(WIDTH, 1, bias=False)
    values = torch.randn(sum(LENGTHS), DIM)
    expected = []
    with torch.no_grad():
        for rows in values.split(LENGTHS):
            states = gru(encoded(len(rows)).unsqueeze(0))[0][0]
            states = (states[:, :WIDTH] + states[:, WIDTH:]) / 2
            weights = torch.softmax(score(states)[:, 0] / 0.1, 0)
            pooled = (weights.unsqueeze(1) * rows.sort(0, descending=True).values).sum(0)
            unit = torch.nn.functional.normalize
            expected.append(torch.cat([unit(rows.mean(0), dim=0), unit(pooled, dim=0)]) / 2 ** 0.5)
    tensors = {f"pooling.gru.{name}": value.detach() for name, value in gru.named_parameters()}
    tensors |= {"pooling.score.weight": score.weight.detach(), "values": values, "expected": torch.stack(expected)}
    save_file({name: value.contiguous() for name, value in tensors.items()}, Path(__file__).parent / "pooling.safetensors")


main()
