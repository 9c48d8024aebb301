"""Golden files for ALIGN: both halves and their scores.

Reference: transformers 5.23.0, torch 2.15.0; float32 on the CPU; seed 1.
Tolerance: relative error 1e-4 (norm of the difference over norm of the expected).

    python parity/align/make.py

writes
    tiny/config.json, tiny/model.safetensors   a seeded random AlignModel, every batch norm with statistics of its own;
                                               a stage with both paddings of a step of two, and one without expansion
    tiny/preprocessor_config.json              a processor for its size, otherwise as Kakao Brain's
    tiny/inputs.json                           {"sequences": [[token id]]}, without padding
    tiny/expected.safetensors                  pixel_values [3, 3, 37, 37]; image_states [3, 16, cells, cells];
                                               image_embeds [3, 16], text_embeds [4, 16] (unit length);
                                               scores [3, 4], cosines of pictures and texts
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AlignConfig, AlignModel, EfficientNetImageProcessor

HERE = Path(__file__).parent
SIZE = 37


def model():
    torch.manual_seed(1)
    text = dict(
        vocab_size=90, hidden_size=24, intermediate_size=48, num_hidden_layers=2, num_attention_heads=3,
        max_position_embeddings=20,
    )
    vision = dict(
        image_size=SIZE, width_coefficient=0.5, depth_coefficient=1.5, depth_divisor=8, kernel_sizes=[3, 5, 3],
        in_channels=[32, 16, 24], out_channels=[16, 24, 32], depthwise_padding=[4], strides=[1, 2, 2],
        num_block_repeats=[1, 1, 2], expand_ratios=[1, 6, 4], hidden_dim=64,
    )
    model = AlignModel(AlignConfig(text_config=text, vision_config=vision, projection_dim=16)).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            # The default initialisation leaves biases at 0 and norms at 1, which would hide a forgotten one.
            if value.ndim == 4:
                fan_in = value[0].numel()
                value.copy_(torch.randn_like(value) * (2 / fan_in) ** 0.5)
            elif "vision_model" in name and name.endswith("weight"):
                value.copy_(torch.rand_like(value) + 0.5)
            else:
                centred = 1.0 if "Norm" in name and name.endswith("weight") else 0.0
                value.copy_(torch.randn_like(value) * 0.2 + centred)
        model.temperature.fill_(0.07)
        for name, value in model.named_buffers():
            if name.endswith("running_mean"):
                value.copy_(torch.randn_like(value) * 0.3)
            elif name.endswith("running_var"):
                value.copy_(torch.rand_like(value) * 1.5 + 0.3)
    return model


def padded(sequences):
    width = max(map(len, sequences))
    ids = torch.tensor([s + [0] * (width - len(s)) for s in sequences])
    mask = torch.tensor([[1] * len(s) + [0] * (width - len(s)) for s in sequences])
    return ids, mask


if __name__ == "__main__":
    model = model()
    folder = HERE / "tiny"
    folder.mkdir(exist_ok=True)
    model.save_pretrained(folder)
    EfficientNetImageProcessor(
        size={"height": 41, "width": 41}, crop_size={"height": SIZE, "width": SIZE}, do_center_crop=True, resample=2,
        rescale_factor=1 / 127.5, rescale_offset=True, do_normalize=False, include_top=False,
    ).save_pretrained(folder)
    pixels = torch.randn(3, 3, SIZE, SIZE)
    sequences = [torch.randint(1, 90, (n,)).tolist() for n in (11, 2, 7, 4)]
    ids, mask = padded(sequences)
    with torch.no_grad():
        out = model(input_ids=ids, attention_mask=mask, pixel_values=pixels)
        states = out.vision_model_output.last_hidden_state
    scores = out.logits_per_image * model.temperature
    print("states", tuple(states.shape), "scores", scores)
    (folder / "inputs.json").write_text(json.dumps({"sequences": sequences}))
    expected = dict(
        pixel_values=pixels, image_states=states, image_embeds=out.image_embeds, text_embeds=out.text_embeds, scores=scores,
    )
    save_file({name: value.detach().contiguous() for name, value in expected.items()}, folder / "expected.safetensors")
