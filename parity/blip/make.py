"""Golden files for BLIP's retrieval model: both halves, their scores, and the matching head.

Reference: transformers 5.23.0, torch 2.15.0; float32 on the CPU; seed 1.
Tolerance: relative error 1e-4 (norm of the difference over norm of the expected).

    python parity/blip/make.py

writes
    tiny/config.json, tiny/model.safetensors   a seeded random BlipForImageTextRetrieval
    tiny/tokenizer.json, tiny/preprocessor_config.json
                                               a WordPiece tokenizer of letters and a few words; a processor for its size
    tiny/inputs.json                           {"sequences": [[token id]]}, without padding
    tiny/expected.safetensors                  pixel_values [3, 3, 32, 32]; image_states [3, 1 + 16, 32] (after the final norm);
                                               image_embeds [3, 24], text_embeds [4, 24] (unit length);
                                               scores [3, 4], cosines of pictures and texts;
                                               matching [3, 4, 2], the matching head's logits of each picture with each text
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch.nn.functional import normalize
from transformers import BlipConfig, BlipForImageTextRetrieval, BlipImageProcessor

HERE = Path(__file__).parent
WORDS = "a the in on of red green blue grey field sky dog cat snow grass runs sits photo black white".split()


def model():
    torch.manual_seed(1)
    text = dict(
        vocab_size=90, hidden_size=24, encoder_hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=3, max_position_embeddings=20,
    )
    vision = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=32, patch_size=8)
    config = BlipConfig(text_config=text, vision_config=vision, image_text_hidden_size=24)
    model = BlipForImageTextRetrieval(config).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            # The default initialisation leaves biases at 0 and norms at 1, which would hide a forgotten one.
            centred = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
            # Attention that is not flat: products of queries and keys must matter.
            spread = 0.4 if "query" in name or "key" in name or "qkv" in name else 0.2
            value.copy_(torch.randn_like(value) * spread + centred)
    return model


def padded(sequences):
    width = max(map(len, sequences))
    ids = torch.tensor([s + [0] * (width - len(s)) for s in sequences])
    mask = torch.tensor([[1] * len(s) + [0] * (width - len(s)) for s in sequences])
    return ids, mask


def tokenizer():
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *letters[1:], *(f"##{letter}" for letter in letters)]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    assert len(vocabulary) <= 90
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    return made


if __name__ == "__main__":
    model = model()
    folder = HERE / "tiny"
    folder.mkdir(exist_ok=True)
    model.save_pretrained(folder)
    tokenizer().save(str(folder / "tokenizer.json"), pretty=False)
    BlipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    pixels = torch.randn(3, 3, 32, 32)
    sequences = [torch.randint(1, 90, (n,)).tolist() for n in (11, 2, 7, 4)]
    ids, mask = padded(sequences)
    with torch.no_grad():
        states = model.vision_model(pixel_values=pixels).last_hidden_state
        image = normalize(model.vision_proj(states[:, 0]), dim=-1)
        text = model.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        text = normalize(model.text_proj(text[:, 0]), dim=-1)
        scores = model(input_ids=ids, attention_mask=mask, pixel_values=pixels, use_itm_head=False).itm_score
        matching = torch.stack([
            model(input_ids=ids, attention_mask=mask, pixel_values=picture.expand(len(sequences), -1, -1, -1)).itm_score
            for picture in pixels
        ])
    print("matching", matching.softmax(-1)[..., 1])
    (folder / "inputs.json").write_text(json.dumps({"sequences": sequences}))
    expected = dict(
        pixel_values=pixels, image_states=states, image_embeds=image, text_embeds=text, scores=scores, matching=matching,
    )
    save_file({name: value.contiguous() for name, value in expected.items()}, folder / "expected.safetensors")
