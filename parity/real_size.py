"""ALIGN (EfficientNet-B7), GroupViT and BLIP (base, 384 pixels) at their real sizes, with seeded random weights: our vectors, and BLIP's
probabilities of a match, against those of transformers, and the time that both take.

    cargo build --release && python parity/real_size.py align|groupvit|blip FOLDER [target/release/tombolo]

writes FOLDER/model, photos and captions beside it, and prints the relative errors (under 1e-4 is asked for) and seconds. Photos are PNG
files of the size that the model's processor resizes to, so that both sides see the same bytes: a resampled byte that is rounded another
way moves the vectors of random networks by far more than 1e-4. Both sides decode and encode, with as many threads as there are cores.
"""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy
import torch
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AlignConfig, AlignModel, BlipConfig, BlipForImageTextRetrieval, BlipTextConfig, GroupViTConfig, GroupViTModel,
    PreTrainedTokenizerFast,
)
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.efficientnet.image_processing_pil_efficientnet import EfficientNetImageProcessorPil

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "clip")]
import real  # noqa: E402
from zoo import unit  # noqa: E402

PHOTOS, CAPTIONS, BATCH = 8, 64, 8
SIDES = {"align": 346, "groupvit": 224, "blip": 384}


def word_pieces(folder, size):
    """A tokenizer as BERT's: special tokens, letters, the words of our captions, and fillers up to the vocabulary's size."""
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    words = sorted({word for text in real.captions() for word in text.split()} - set(letters))
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters), *words]
    tokens += [f"[unused{number}]" for number in range(size - len(tokens))]
    made = Tokenizer(models.WordPiece({token: index for index, token in enumerate(tokens)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    made = PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")
    made.save_pretrained(folder)
    return made


def randomise(model):
    """Layers that keep the size of what passes through them, and biases that are not 0."""
    torch.manual_seed(1)
    with torch.no_grad():
        for value in model.parameters():
            if value.ndim == 4:
                value.copy_(torch.randn_like(value) * (2 / value[0].numel()) ** 0.5)
            elif value.ndim == 2:
                value.copy_(torch.randn_like(value) / value[0].numel() ** 0.5)
            elif value.ndim == 3:
                value.copy_(torch.randn_like(value) * 0.5)
            elif value.ndim == 1:
                value.add_(torch.randn_like(value) * 0.05)


def settle(model, **inputs):
    """Batch norms with the statistics of real inputs: one pass of training."""
    norms = [m for m in model.modules() if isinstance(m, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d))]
    for norm in norms:
        norm.momentum = 1.0
    model.train()
    with torch.no_grad():
        model(**inputs)
    model.eval()


def align(folder, pictures, texts):
    model = AlignModel(AlignConfig())
    processor = EfficientNetImageProcessorPil(
        do_center_crop=True, rescale_factor=1 / 127.5, rescale_offset=True, do_normalize=False, include_top=False, resample=2,
    )
    words = word_pieces(folder, model.config.text_config.vocab_size)
    randomise(model)
    batch = words(texts[:BATCH], padding=True, return_tensors="pt")
    settle(model, **processor(pictures[:BATCH], return_tensors="pt"), input_ids=batch.input_ids, attention_mask=batch.attention_mask)
    return model, processor, words


def groupvit(folder, pictures, texts):
    model = GroupViTModel(GroupViTConfig())
    processor, words = CLIPImageProcessorPil(), real.tokenizer(folder)
    randomise(model)
    batch = words(texts[:BATCH], padding=True, return_tensors="pt")
    settle(model, **processor(pictures[:BATCH], return_tensors="pt"), **batch)
    return model, processor, words


def blip(folder, pictures, texts):
    config = BlipConfig(text_config=BlipTextConfig(num_attention_heads=12).to_dict())
    model = BlipForImageTextRetrieval(config).eval()
    randomise(model)
    return model, BlipImageProcessorPil(), word_pieces(folder, model.config.text_config.vocab_size)


def image_vectors(model, pixels):
    if isinstance(model, BlipForImageTextRetrieval):
        return model.vision_proj(model.vision_model(pixel_values=pixels).last_hidden_state[:, 0])
    return model.get_image_features(pixel_values=pixels).pooler_output


def text_vectors(model, batch):
    if isinstance(model, BlipForImageTextRetrieval):
        states = model.text_encoder(input_ids=batch.input_ids, attention_mask=batch.attention_mask).last_hidden_state
        return model.text_proj(states[:, 0])
    return model.get_text_features(input_ids=batch.input_ids, attention_mask=batch.attention_mask).pooler_output


def reference(model, processor, words, paths, texts):
    images, vectors = [], []
    with torch.inference_mode():
        started = time.perf_counter()
        for first in range(0, len(paths), BATCH):
            pictures = [Image.open(path).convert("RGB") for path in paths[first : first + BATCH]]
            images.append(image_vectors(model, processor(pictures, return_tensors="pt").pixel_values))
        image_seconds = time.perf_counter() - started
        started = time.perf_counter()
        for first in range(0, len(texts), 64):
            vectors.append(text_vectors(model, words(texts[first : first + 64], padding=True, return_tensors="pt")))
        text_seconds = time.perf_counter() - started
    return unit(torch.cat(images)).numpy(), unit(torch.cat(vectors)).numpy(), image_seconds, text_seconds


def matching(model, processor, words, paths, text, program, folder):
    """Probabilities that photos match a text: ours through `search --rerank`, and those of transformers."""
    library = ["--library", "library"]
    subprocess.run([program, "index", "photos", "--model", "model", *library, "--quiet"], cwd=folder, check=True)
    search = [program, "search", text, *library, "--json", "--top", str(len(paths)), "--rerank", "model"]
    found = subprocess.run([*search, "--rerank-top", str(len(paths))], cwd=folder, check=True, capture_output=True).stdout
    found = {Path(hit["path"]).name: hit["match"] for hit in map(json.loads, found.splitlines())}
    batch = words([text], return_tensors="pt")
    expected = []
    with torch.inference_mode():
        started = time.perf_counter()
        for path in paths:
            pixels = processor([Image.open(path).convert("RGB")], return_tensors="pt").pixel_values
            logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, pixel_values=pixels).itm_score
            expected.append(logits.softmax(-1)[0, 1].item())
        seconds = time.perf_counter() - started
    found = [found[path.name] for path in paths]
    return {"error_matching": real.error(numpy.array(found), numpy.array(expected)), "spread_matching": max(expected) - min(expected),
            "pairs_a_second_pytorch": len(paths) / seconds}


def main(name, folder, program):
    (folder / "model").mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(os.cpu_count())
    paths, texts = real.photos(folder / "photos", PHOTOS, (SIDES[name], SIDES[name])), real.captions()[:CAPTIONS]
    pictures = [Image.open(path).convert("RGB") for path in paths]
    model, processor, words = {"align": align, "groupvit": groupvit, "blip": blip}[name](folder / "model", pictures, texts)
    model.save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")
    with open(folder / "captions.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "caption", "split"])
        rows.writerows([f"photos/{paths[number % PHOTOS].name}", text, "test"] for number, text in enumerate(texts))
    (folder / "texts.txt").write_text("\n".join(texts) + "\n")
    embed = [program, "embed", "texts.txt", *[f"photos/{path.name}" for path in paths], "--model", "model", "--out", "found.npy"]
    subprocess.run(embed, cwd=folder, check=True)
    evaluated = subprocess.run(
        [program, "eval", "csv:captions.csv", "--model", "model", "--json"], cwd=folder, check=True, capture_output=True
    )
    seconds = json.loads(evaluated.stdout)["seconds"]
    reference(model, processor, words, paths[:BATCH], texts)
    images, vectors, image_seconds, text_seconds = reference(model, processor, words, paths, texts)
    found_texts, found_images = numpy.split(numpy.load(folder / "found.npy"), [len(texts)])
    result = {
        "error_images": real.error(found_images, images),
        "error_texts": real.error(found_texts, vectors),
        "error_scores": real.error(found_texts @ found_images.T, vectors @ images.T),
        # How far the photos' vectors are from their mean: an error of this size would be as if all photos were the same.
        "spread_images": real.error(images, numpy.broadcast_to(images.mean(0), images.shape)),
        "photos_a_second": {"tombolo": PHOTOS / seconds["encode_images"], "pytorch": PHOTOS / image_seconds},
        "texts_a_second": {"tombolo": CAPTIONS / seconds["encode_texts"], "pytorch": CAPTIONS / text_seconds},
        "threads": os.cpu_count(),
    }
    if name == "blip":
        result |= matching(model, processor, words, paths, texts[0], program, folder)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    program = Path(sys.argv[3] if len(sys.argv) > 3 else "target/release/tombolo").resolve()
    main(sys.argv[1], Path(sys.argv[2]).resolve(), str(program))
