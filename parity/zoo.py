"""What the golden files of jointly trained models share: odd texts, our own prose to train small tokenizers on, seeded weights."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
TEXTS = [
    "A dog runs through the snow.",
    "two men ride naïve bicycles over the bridge — façade, Ångström, 東京タワー и кошка",
    "",
    "   ",
    "🐶🐱 two pets 👩🏽‍🚀 in space!!! :-)",
    "The photographer's #1 @fan; $3.50 100% e-mail\tTAB\nNEWLINE\u200bzero they're we'll I'd",
    "e\u0301 combined and é alone; ﬁ ligature; Ⅷ; İstanbul; ẞ",
    "<|endoftext|> and <|startoftext|> written out",
    "don't DON'T can't've 3.1415 2026 x²",
    "a man in a red shirt climbs a rock face while others watch from the valley below , " * 9,
    "\u00a0no-break\u2003em space\u3000ideographic",
    "\x01\x7f control & <b>markup</b> &amp; entity",
]


def prose():
    """Our own words: the lines of the documents, as they are when a script runs: golden files are made anew as a whole."""
    files = sorted(HERE.parent.glob("docs/*.md"))
    return [line for file in files for line in file.read_text().splitlines() if line.strip()]


def randomise(model, spread=0.15):
    """Seeded values where the default ones (norms at 1, biases at 0) would hide a forgotten parameter."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith(("logit_scale", "logit_bias")):
                continue
            norm = ("norm" in name.lower() or "ln_" in name or "pre_LN" in name or ".bn" in name) and name.endswith("weight")
            value.copy_(torch.randn_like(value) * spread + (1.0 if norm else 0.0))
    return model.eval()


def unit(vectors):
    return vectors / vectors.norm(dim=-1, keepdim=True)


def write_expected(folder, **tensors):
    save_file({name: value.detach().float().contiguous() for name, value in tensors.items()}, folder / "expected.safetensors")


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
