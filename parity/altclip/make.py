"""Golden files for AltCLIP in Hugging Face's layout.

Reference: transformers 5.23.0 (AltCLIPModel, XLMRobertaTokenizer), torch 2.15.0; float32 on the CPU; seed 1.
Tolerance: relative error 1e-4; token ids are equal.

    python parity/altclip/make.py

writes tiny/: a seeded random AltCLIPModel, a unigram tokenizer trained on docs/, texts.json ([{"text", "ids"}], cut to 20 tokens)
and expected.safetensors: pixel_values [2, 3, 32, 32], image_embeds and text_embeds (unit length), logits_per_text, states (the
transformed states of the first text).
"""

import json
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AltCLIPConfig, AltCLIPModel, XLMRobertaTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from zoo import TEXTS, prose, randomise, write_expected, write_json  # noqa: E402

LONGEST = 20


def tokenizer(folder):
    learner = Tokenizer(models.Unigram())
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
    )
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=400, special_tokens=special, unk_token="<unk>", show_progress=False)
    learner.train_from_iterator(prose(), trainer)
    pieces = [tuple(piece) for piece in json.loads(learner.to_str())["model"]["vocab"]]
    rest = [piece for piece in pieces if piece[0] not in special]
    made = XLMRobertaTokenizer(vocab=[(piece, 0.0) for piece in special] + rest + [("<mask>", 0.0)], model_max_length=LONGEST)
    made.save_pretrained(folder)
    return made


if __name__ == "__main__":
    torch.manual_seed(1)
    folder = HERE / "tiny"
    folder.mkdir(exist_ok=True)
    words = tokenizer(folder)
    sizes = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
    config = AltCLIPConfig(
        text_config=dict(vocab_size=len(words), max_position_embeddings=LONGEST + 2, project_dim=28, **sizes),
        vision_config=dict(image_size=32, patch_size=8, **sizes),
        projection_dim=24,
    )
    model = randomise(AltCLIPModel(config))
    model.save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    encoded = [words(text, truncation=True, max_length=LONGEST).input_ids for text in TEXTS]
    write_json(folder / "texts.json", [{"text": text, "ids": ids} for text, ids in zip(TEXTS, encoded)])
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        batch = words(TEXTS, truncation=True, max_length=LONGEST, padding=True, return_tensors="pt")
        out = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, pixel_values=pixels)
        states = model.text_model(input_ids=torch.tensor([encoded[0]])).last_hidden_state[0]
    write_expected(
        folder, pixel_values=pixels, image_embeds=out.image_embeds, text_embeds=out.text_embeds,
        logits_per_text=out.logits_per_text, states=states,
    )
