"""Golden files for the ViT and DINOv2 backbones in the Hugging Face layout.

Reference: transformers 5.23.0, torch 2.15.0; float32 on the CPU; seed 1.
Tolerance: relative error 1e-4 (norm of the difference over norm of the expected).

    python parity/vit/make.py [FOLDER]

writes here, at a small size, or in FOLDER, at the size of ViT-B/16 and of DINOv2-small, for each of vit/ and dinov2/
    config.json, model.safetensors   a seeded random model (ViT without pooler)
    expected.safetensors             pixel_values [2, 3, 32, 32] and last_hidden_state [2, 1 + 16, 32] (after the final layer
                                     norm, class token first), at the size of the configuration (4 x 4 patches of 8), and
                                     pixel_values_other [1, 3, H, W], last_hidden_state_other [1, 1 + H/8 * W/8, 32] at another
                                     size, so that the position embeddings are interpolated (bicubic, a = -0.75, no antialiasing,
                                     align_corners off, to the size given)
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import Dinov2Config, Dinov2Model, ViTConfig, ViTModel

HERE = Path(__file__).parent


def randomise(model, spread=0.15):
    with torch.no_grad():
        for name, value in model.named_parameters():
            centred = 1.0 if ("norm" in name and name.endswith("weight")) or "lambda1" in name else 0.0
            value.copy_(torch.randn_like(value) * spread + centred)
    return model.eval()


def write(folder, model, other, **at_other_size):
    folder.mkdir(parents=True, exist_ok=True)
    side = model.config.image_size
    (folder / "config.json").write_text(model.config.to_json_string())
    model.save_pretrained(folder)
    pixels = torch.randn(2, 3, side, side)
    pixels_other = torch.randn(1, 3, *other)
    with torch.no_grad():
        expected = model(pixel_values=pixels).last_hidden_state
        expected_other = model(pixel_values=pixels_other, **at_other_size).last_hidden_state
    save_file(
        {
            "pixel_values": pixels,
            "last_hidden_state": expected.contiguous(),
            "pixel_values_other": pixels_other,
            "last_hidden_state_other": expected_other.contiguous(),
        },
        folder / "expected.safetensors",
    )


SIZES = dict(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=4, image_size=32, patch_size=8, num_channels=3,
    hidden_act="gelu", layer_norm_eps=1e-6, qkv_bias=True, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)


def small():
    vit = randomise(ViTModel(ViTConfig(intermediate_size=64, **SIZES), add_pooling_layer=False))
    write(HERE / "vit", vit, (48, 40), interpolate_pos_encoding=True)
    dinov2 = randomise(Dinov2Model(Dinov2Config(mlp_ratio=2, use_swiglu_ffn=False, layerscale_value=1.0, **SIZES)))
    write(HERE / "dinov2", dinov2, (56, 48))


def real(folder):
    vit = randomise(ViTModel(ViTConfig(), add_pooling_layer=False), 0.03)
    write(folder / "vit", vit, (256, 192), interpolate_pos_encoding=True)
    dinov2 = Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=518, patch_size=14)
    write(folder / "dinov2", randomise(Dinov2Model(dinov2), 0.03), (224, 224))


if __name__ == "__main__":
    torch.manual_seed(1)
    real(Path(sys.argv[1])) if len(sys.argv) > 1 else small()
