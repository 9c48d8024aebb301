"""What the training peers share: the schedule and the optimizer, as a PyTorch user would set them up."""

import math

import numpy as np
import torch
from safetensors.torch import load_file


def one_cycle(peak, step, steps):
    rise = max(0.1 * steps, 1.0)
    if step < rise:
        return peak * (step + 1) / rise
    fall = min((step - rise) / max(steps - rise, 1.0), 1.0)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fall)))


class Optimizer:
    """Fused AdamW; gradients clipped to norm 2; only matrices decay."""

    def __init__(self, parameters, weight_decay):
        self.parameters = list(parameters)
        matrices = [p for p in self.parameters if p.ndim >= 2]
        rest = [p for p in self.parameters if p.ndim < 2]
        groups = [dict(params=matrices, weight_decay=weight_decay), dict(params=rest, weight_decay=0.0)]
        self.adam = torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-8, fused=True)

    def step(self, loss, rate):
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 2.0)
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.step()


def parameters(path):
    """Initial weights by name, ready to be trained."""
    return {name: tensor.requires_grad_() for name, tensor in load_file(path).items()}


@torch.no_grad()
def follow(slow, fast, keep):
    torch._foreach_lerp_(list(slow.values()), list(fast.values()), 1 - keep)


def copy(parameters):
    return {name: tensor.detach().clone() for name, tensor in parameters.items()}


def losses(values):
    return np.array(values, np.float32)
