"""Golden files for SigLIP in Hugging Face's layout.

Reference: transformers 5.23.0 (SiglipModel, SiglipTokenizer over sentencepiece 0.2.3), torch 2.15.0; float32 on the CPU; seed 1.
Tolerance: relative error 1e-4; token ids and, but for one level of a byte, pictures are equal.

    python parity/siglip/make.py

writes tiny/: a seeded random SiglipModel, a unigram tokenizer trained on docs/ as tokenizer.json (the same pieces that
SiglipTokenizer reads from a SentencePiece file, which is not kept; texts reach it without spaces around them, since before a text that
begins with one it puts a token that training never saw), texts.json ([{"text", "ids"}], filled up to 16 tokens) and
expected.safetensors: pixel_values [2, 3, 32, 32], image_embeds and text_embeds (unit length), logits_per_text, cells [2, 16, 32],
processed [3, 32, 32] (what SiglipImageProcessorPil makes of parity/pillow/rgb.png).
"""

import sys
import tempfile
from pathlib import Path

import sentencepiece
import torch
from PIL import Image
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import SiglipConfig, SiglipModel, SiglipTokenizer
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from zoo import TEXTS, prose, randomise, write_expected, write_json  # noqa: E402

LONGEST = 16


def tokenizers(folder, scratch):
    corpus = scratch / "prose.txt"
    corpus.write_text("\n".join(line.lower() for line in prose()))
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(scratch / "spiece"), vocab_size=400, model_type="unigram", pad_id=0, eos_id=1, unk_id=2,
        bos_id=-1, minloglevel=2, normalization_rule_name="identity",
    )
    reference = SiglipTokenizer(str(scratch / "spiece.model"), model_max_length=LONGEST, pad_token="</s>")
    pieces = reference.sp_model
    vocabulary = [(pieces.IdToPiece(i), pieces.GetScore(i)) for i in range(pieces.GetPieceSize())]
    fast = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    fast.normalizer = normalizers.Sequence([normalizers.Replace(Regex(" {2,}"), " ")])
    fast.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    fast.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast.add_special_tokens(["</s>"])
    fast.save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "SiglipTokenizer", "model_max_length": LONGEST, "pad_token": "</s>"},
    )
    return reference


if __name__ == "__main__":
    torch.manual_seed(1)
    folder = HERE / "tiny"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        words = tokenizers(folder, Path(scratch))
        encoded = [
            words(text.strip(), padding="max_length", truncation=True, max_length=LONGEST).input_ids for text in TEXTS
        ]
    sizes = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
    config = SiglipConfig(
        text_config=dict(vocab_size=len(words), max_position_embeddings=LONGEST, **sizes),
        vision_config=dict(image_size=32, patch_size=8, **sizes),
    )
    model = randomise(SiglipModel(config))
    with torch.no_grad():
        model.logit_scale.fill_(2.0)
        model.logit_bias.fill_(-3.0)
    # Halves in the file, and what they are in single precision here.
    model.half().save_pretrained(folder)
    model.float()
    processor = SiglipImageProcessorPil(size={"height": 32, "width": 32})
    processor.save_pretrained(folder)
    write_json(folder / "texts.json", [{"text": text, "ids": ids} for text, ids in zip(TEXTS, encoded)])
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        out = model(input_ids=torch.tensor(encoded), pixel_values=pixels)
        cells = model.vision_model(pixel_values=pixels).last_hidden_state
    picture = Image.open(HERE.parent / "pillow/rgb.png").convert("RGB")
    write_expected(
        folder, pixel_values=pixels, image_embeds=out.image_embeds, text_embeds=out.text_embeds,
        logits_per_text=out.logits_per_text, cells=cells, processed=processor(picture, return_tensors="pt").pixel_values[0],
    )
