"""CLIP ViT-B/32 at its real size, with seeded random weights: our vectors against those of transformers, and the time that both take.

    cargo build --release && python parity/clip/real.py FOLDER [target/release/tombolo]

writes FOLDER/model (605 MB, CLIP's own vocabulary as open_clip carries it), photos and captions beside it, and prints the relative
errors of vectors and scores and the speed of both. Under 1e-4 is asked for, of photos that need no resizing (224 x 224); of photos of
500 x 375 pixels the error is printed too: Pillow's resizing and ours differ by one level of a byte here and there. Both sides decode,
resize and encode the latter in batches of 16; times are of what is between the model being loaded and the last vector being there.
"""

import csv
import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy
import open_clip
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

sys.path.insert(0, str(Path(__file__).parent.parent))
from zoo import TEXTS, unit  # noqa: E402

PHOTOS, CAPTIONS, BATCH = 64, 320, 16


def tokenizer(folder):
    path = Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
    lines = gzip.open(path).read().decode().split("\n")[1 : 49152 - 256 - 2 + 1]
    merges = [tuple(line.split()) for line in lines]
    letters = list(open_clip.tokenizer.bytes_to_unicode().values())
    pieces = letters + [letter + "</w>" for letter in letters] + ["".join(pair) for pair in merges]
    pieces += ["<|startoftext|>", "<|endoftext|>"]
    made = CLIPTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=merges, model_max_length=77)
    made.save_pretrained(folder)
    return made


def model(folder):
    torch.manual_seed(1)
    made = CLIPModel(CLIPConfig()).eval()
    with torch.no_grad():
        for name, value in made.named_parameters():
            if value.ndim == 1:
                value.add_(torch.randn_like(value) * 0.05)
    made.save_pretrained(folder)
    return made


def photos(folder, count, size):
    folder.mkdir(exist_ok=True)
    generator = numpy.random.default_rng(1)
    paths = [folder / f"{number:03}.png" for number in range(count)]
    for path in paths:
        coarse = generator.integers(0, 256, (12, 16, 3), dtype=numpy.uint8)
        Image.fromarray(coarse).resize(size, Image.BICUBIC).save(path)
    return paths


def captions():
    words = "a dog man woman red shirt runs over the green grass while two children watch from snow beach street".split()
    generator = numpy.random.default_rng(2)
    return [" ".join(generator.choice(words, generator.integers(6, 16))) for _ in range(CAPTIONS)]


def reference(made, words, paths, texts):
    processor = CLIPImageProcessorPil()
    images, vectors = [], []
    with torch.inference_mode():
        started = time.perf_counter()
        for first in range(0, len(paths), BATCH):
            batch = [Image.open(path).convert("RGB") for path in paths[first : first + BATCH]]
            images.append(made.get_image_features(**processor(batch, return_tensors="pt")).pooler_output)
        image_seconds = time.perf_counter() - started
        started = time.perf_counter()
        for first in range(0, len(texts), 64):
            batch = words(texts[first : first + 64], truncation=True, max_length=77, padding=True, return_tensors="pt")
            vectors.append(made.get_text_features(**batch).pooler_output)
        text_seconds = time.perf_counter() - started
    return unit(torch.cat(images)).numpy(), unit(torch.cat(vectors)).numpy(), image_seconds, text_seconds


def error(found, expected):
    return float(numpy.linalg.norm(found - expected) / numpy.linalg.norm(expected))


def main(folder, program):
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(os.cpu_count())
    words, made = tokenizer(folder / "model"), model(folder / "model")
    CLIPImageProcessorPil().save_pretrained(folder / "model")
    paths, texts = photos(folder / "photos", PHOTOS, (500, 375)), captions()
    square = photos(folder / "square", BATCH, (224, 224))
    with open(folder / "captions.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "caption", "split"])
        for number, text in enumerate(texts):
            rows.writerow([f"photos/{paths[number % PHOTOS].name}", text, "test"])
    odd = [text for text in TEXTS if "\n" not in text]
    (folder / "odd.txt").write_text("\n".join(odd) + "\n")
    (folder / "texts.txt").write_text("\n".join(texts) + "\n")
    embed = [program, "embed", "texts.txt", "odd.txt", *map(str, square), *map(str, paths)]
    subprocess.run([*embed, "--model", "model", "--out", "found.npy"], cwd=folder, check=True)
    evaluated = subprocess.run(
        [program, "eval", "csv:captions.csv", "--model", "model", "--json"], cwd=folder, check=True, capture_output=True
    )
    seconds = json.loads(evaluated.stdout)["seconds"]
    reference(made, words, paths[:BATCH], texts[:64])
    images, text_vectors, image_seconds, text_seconds = reference(made, words, paths, texts)
    square_images, odd_vectors, _, _ = reference(made, words, square, odd)
    found = numpy.load(folder / "found.npy")
    ends = numpy.cumsum([len(texts), len(odd), len(square)])
    found_texts, found_odd, found_square, found_images = numpy.split(found, ends)
    print(json.dumps({
        "error_images": error(found_square, square_images),
        "error_resized_images": error(found_images, images),
        "error_texts": error(found_texts, text_vectors),
        "error_odd_texts": error(found_odd, odd_vectors),
        "error_scores": error(found_texts @ found_square.T, text_vectors @ square_images.T),
        "photos_a_second": {"tombolo": PHOTOS / seconds["encode_images"], "pytorch": PHOTOS / image_seconds},
        "texts_a_second": {"tombolo": CAPTIONS / seconds["encode_texts"], "pytorch": CAPTIONS / text_seconds},
        "threads": os.cpu_count(),
    }, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), str(Path(sys.argv[2] if len(sys.argv) > 2 else "target/release/tombolo").resolve()))
