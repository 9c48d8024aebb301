"""Golden files for CLIP in Hugging Face's layout and in open_clip's, with a vision transformer and with a ResNet.

Reference: transformers 5.24.0, open_clip 3.3.0 with ftfy 6.3.1, torch 2.15.0; float32 on the CPU; seed 1.
Tolerance: relative error 1e-4 (norm of the difference over norm of the expected); token ids and, but for one level of a byte,
pictures are equal.

    python parity/clip/make.py

writes
    tiny/                  a seeded random CLIPModel as transformers saves it, with a byte-level BPE of 300 merges trained on docs/
                           as tokenizer.json and as vocab.json and merges.txt
    tiny/texts.json        [{"text", "ids"}], cut to 24 tokens
    tiny/expected.safetensors   pixel_values [2, 3, 32, 32], image_embeds and text_embeds (unit length), logits_per_text,
                           cells [2, 17, 32] (last_hidden_state), states (last_hidden_state of the first text),
                           processed [3, 32, 32]: what CLIPImageProcessorPil makes of parity/pillow/rgb.png
    open_clip/, resnet/    open_clip_config.json, open_clip_model.safetensors, expected.safetensors (processed: open_clip's
                           transform), texts.json of open_clip's own tokenizer with the vocabulary of tiny/, which cleans texts with
                           ftfy; resnet/ as open_clip_pytorch_model.bin
"""

import gzip
import json
import sys
import tempfile
from pathlib import Path

import torch
from open_clip.tokenizer import SimpleTokenizer, bytes_to_unicode
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from zoo import TEXTS, prose, randomise, unit, write_expected, write_json  # noqa: E402

LONGEST = 24
WORDS = r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""


# What ftfy and two rounds of html.unescape take out or put right.
UNCLEAN = [
    "the dog\u2019s \u201cbest\u201d friend \u2018here\u2019",
    "a dog &amp;amp; a cat &lt;b&gt; &#39;quoted&#x27; caf&eacute;",
    "<i>kept</i> &amp; decoded",
    "ｆｕｌｌｗｉｄｔｈ　ﾊﾝｶｸ ﬀ ﬃ ﬆ Ĳ Ǆ ŉ",
    "ΣΊΣΥΦΟΣ \ufeffwith a mark \u2028of lines",
]


def tokenizer(folder):
    """As CLIP's: each byte alone and at the end of a word, then merges, then the two special tokens."""
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    split = pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True)
    learner.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    learner.train_from_iterator(prose(), trainers.BpeTrainer(vocab_size=700, end_of_word_suffix="</w>", show_progress=False))
    learned = json.loads(learner.to_str())["model"]["merges"]
    merges = [tuple(pair if isinstance(pair, list) else pair.split(" ")) for pair in learned][:300]
    alphabet = list(bytes_to_unicode().values())
    pieces = alphabet + [letter + "</w>" for letter in alphabet] + ["".join(pair) for pair in merges]
    pieces = list(dict.fromkeys(pieces)) + ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    made = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=LONGEST)
    made.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    return made


def hugging_face(folder):
    folder.mkdir(exist_ok=True)
    words = tokenizer(folder)
    sizes = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, projection_dim=24)
    config = CLIPConfig(
        text_config=dict(
            vocab_size=len(words), max_position_embeddings=LONGEST, eos_token_id=words.eos_token_id,
            bos_token_id=words.bos_token_id, pad_token_id=words.pad_token_id, **sizes,
        ),
        vision_config=dict(image_size=32, patch_size=8, **sizes),
        projection_dim=24,
    )
    model = randomise(CLIPModel(config))
    model.save_pretrained(folder)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32})
    processor.save_pretrained(folder)
    encoded = [words(text, truncation=True, max_length=LONGEST).input_ids for text in TEXTS]
    write_json(folder / "texts.json", [{"text": text, "ids": ids} for text, ids in zip(TEXTS, encoded)])
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        batch = words(TEXTS, truncation=True, max_length=LONGEST, padding=True, return_tensors="pt")
        out = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, pixel_values=pixels)
        cells = model.vision_model(pixel_values=pixels).last_hidden_state
        states = model.text_model(input_ids=torch.tensor([encoded[0]])).last_hidden_state[0]
    picture = Image.open(HERE.parent / "pillow/rgb.png").convert("RGB")
    processed = processor(picture, return_tensors="pt").pixel_values[0]
    write_expected(
        folder, pixel_values=pixels, image_embeds=out.image_embeds, text_embeds=out.text_embeds,
        logits_per_text=out.logits_per_text, cells=cells, states=states, processed=processed,
    )


def open_clips_ids(merges):
    """What open_clip's tokenizer makes of texts: those of Hugging Face's and some that it cleans in another way."""
    with tempfile.NamedTemporaryFile(suffix=".gz") as packed:
        packed.write(gzip.compress(merges.read_bytes().rstrip()))
        packed.flush()
        tokenizer = SimpleTokenizer(packed.name, context_length=LONGEST)
    texts = TEXTS + UNCLEAN
    ids = tokenizer(texts).tolist()
    # Filled up with zeros after the last token, which ends the text.
    return texts, [row[: row.index(tokenizer.eot_token_id) + 1] for row in ids]


def open_clip(folder, model_cfg, encoded, binary):
    from open_clip.model import CLIP
    from open_clip.transform import PreprocessCfg, image_transform_v2

    folder.mkdir(exist_ok=True)
    texts, encoded = encoded
    write_json(folder / "texts.json", [{"text": text, "ids": ids} for text, ids in zip(texts, encoded)])
    # Halves in the file, and what they are in single precision here.
    model = randomise(CLIP(**model_cfg))
    with torch.no_grad():
        for name, value in model.named_buffers():
            if name.endswith("running_mean"):
                value.copy_(torch.randn_like(value) * 0.1)
            elif name.endswith("running_var"):
                value.copy_(torch.rand_like(value) + 0.5)
    model = model.half().float()
    side = model_cfg["vision_cfg"]["image_size"]
    preprocess = dict(mean=[0.5, 0.4, 0.3], std=[0.2, 0.3, 0.4], interpolation="bicubic", resize_mode="shortest")
    write_json(folder / "open_clip_config.json", {"model_cfg": model_cfg, "preprocess_cfg": preprocess})
    weights = {name: value.contiguous().half() for name, value in model.state_dict().items()}
    if binary:
        torch.save(weights, folder / "open_clip_pytorch_model.bin")
    else:
        save_file(weights, folder / "open_clip_model.safetensors")
    pixels = torch.randn(2, 3, side, side)
    ids = torch.zeros(len(encoded), LONGEST, dtype=torch.long)
    for row, text in zip(ids, encoded):
        row[: len(text)] = torch.tensor(text)
    transform = image_transform_v2(PreprocessCfg(size=side, **preprocess), is_train=False)
    picture = Image.open(HERE.parent / "pillow/rgb.png").convert("RGB")
    with torch.no_grad():
        image, text = model.encode_image(pixels), model.encode_text(ids)
    write_expected(
        folder, pixel_values=pixels, image_embeds=unit(image), text_embeds=unit(text),
        logits_per_text=unit(text) @ unit(image).T / 0.07, processed=transform(picture),
    )


if __name__ == "__main__":
    torch.manual_seed(1)
    hugging_face(HERE / "tiny")
    encoded = open_clips_ids(HERE / "tiny/merges.txt")
    vocabulary = json.loads((HERE / "tiny/config.json").read_text())["text_config"]["vocab_size"]
    text = dict(context_length=LONGEST, vocab_size=vocabulary, width=16, heads=2, layers=2)
    vit = dict(image_size=32, layers=2, width=32, head_width=8, patch_size=8)
    open_clip(HERE / "open_clip", dict(embed_dim=24, vision_cfg=vit, text_cfg=text), encoded, False)
    resnet = dict(image_size=64, layers=[1, 2, 1, 1], width=4, patch_size=None)
    open_clip(
        HERE / "resnet", dict(embed_dim=24, quick_gelu=True, vision_cfg=resnet, text_cfg=dict(text, layers=1)), encoded, True
    )
