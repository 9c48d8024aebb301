"""Golden files for GroupViT: both halves, their scores, its groups and its segmentation.

Reference: transformers 5.23.0, torch 2.15.0; float32 on the CPU; seed 1.
Tolerance: relative error 1e-4 (norm of the difference over norm of the expected).

    python parity/groupvit/make.py

writes
    tiny/config.json, tiny/model.safetensors   a seeded random GroupViTModel, every batch norm with statistics of its own
    tiny/inputs.json                           {"sequences": [[token id]]}, each of which ends with the token of the end
    tiny/expected.safetensors                  pixel_values [3, 3, 32, 32]; group_states [3, 4, 24] (after the final norm);
                                               groupings.0 [3, 6, 16] and groupings.1 [3, 4, 6], how much of each place of a
                                               stage is in each group of it;
                                               image_embeds [3, 16], text_embeds [4, 16] (unit length);
                                               scores [3, 4], cosines; segmentation [3, 4, 32, 32], logits of each pixel and text
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import GroupViTConfig, GroupViTModel

HERE = Path(__file__).parent
END = 89


def model():
    torch.manual_seed(1)
    text = dict(
        vocab_size=90, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=20, pad_token_id=1, bos_token_id=88, eos_token_id=END,
    )
    vision = dict(
        hidden_size=24, intermediate_size=32, num_hidden_layers=4, depths=[2, 1, 1], num_group_tokens=[6, 4, 0],
        num_output_groups=[6, 4, 0], num_attention_heads=3, image_size=32, patch_size=8, assign_mlp_ratio=[0.5, 2],
    )
    config = GroupViTConfig(text_config=text, vision_config=vision, projection_dim=16, projection_intermediate_dim=40)
    model = GroupViTModel(config).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            # The default initialisation leaves biases at 0 and norms at 1, which would hide a forgotten one.
            centred = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            spread = 1.5 if "position_embeddings" in name or "group_token" in name else 0.25
            value.copy_(torch.randn_like(value) * spread + centred)
        for projection in (model.visual_projection, model.text_projection):
            projection[1].weight.copy_(torch.rand(40) + 0.5)
            projection[1].running_mean.copy_(torch.randn(40) * 0.3)
            projection[1].running_var.copy_(torch.rand(40) * 1.5 + 0.3)
        for stage in model.vision_model.encoder.stages:
            if stage.downsample is not None:
                # So that groups differ in what they take, and neither all nor nothing is in one.
                stage.downsample.assign.q_proj.weight.mul_(1.5)
                stage.downsample.assign.k_proj.weight.mul_(1.5)
                stage.downsample.assign.q_proj.bias.mul_(0.2)
                stage.downsample.norm_x.bias.mul_(0.2)
        model.logit_scale.fill_(1.3)
    return model


def padded(sequences):
    width = max(map(len, sequences))
    ids = torch.tensor([s + [1] * (width - len(s)) for s in sequences])
    mask = torch.tensor([[1] * len(s) + [0] * (width - len(s)) for s in sequences])
    return ids, mask


if __name__ == "__main__":
    model = model()
    folder = HERE / "tiny"
    folder.mkdir(exist_ok=True)
    model.save_pretrained(folder)
    pixels = torch.randn(3, 3, 32, 32)
    sequences = [[88] + torch.randint(2, 88, (n,)).tolist() + [END] for n in (9, 1, 6, 3)]
    ids, mask = padded(sequences)
    with torch.no_grad():
        out = model(input_ids=ids, attention_mask=mask, pixel_values=pixels, output_segmentation=True)
    vision = out.vision_model_output
    scores = out.logits_per_image / model.logit_scale.exp()
    for grouping in vision.attentions:
        top = grouping.topk(2, dim=1).values
        print("cells of each group", grouping.argmax(1).flatten().bincount().tolist(),
              "least lead of a winner", (top[:, 0] - top[:, 1]).min().item(), "mean of a winner", top[:, 0].mean().item())
    print("scores", scores)
    (folder / "inputs.json").write_text(json.dumps({"sequences": sequences}))
    expected = dict(
        pixel_values=pixels, group_states=vision.last_hidden_state, image_embeds=out.image_embeds,
        text_embeds=out.text_embeds, scores=scores, segmentation=out.segmentation_logits,
    )
    expected |= {f"groupings.{stage}": grouping for stage, grouping in enumerate(vision.attentions)}
    save_file({name: value.detach().contiguous() for name, value in expected.items()}, folder / "expected.safetensors")
