"""ALIGN (EfficientNet-B7), AltCLIP (ViT-L/14, XLM-R large), GroupViT, SigLIP (base, 16 pixels a patch), BLIP (base, 384 pixels), and open_clip's
ViT-B/32 and RN50, at their real sizes, with seeded random weights: our vectors, and BLIP's probabilities of a match, against those of
transformers or open_clip, and the time that both take.

    cargo build --release && python parity/real_size.py align|altclip|groupvit|siglip|blip|vit|resnet FOLDER [target/release/tombolo]

(SigLIP's tokenizer needs `protobuf` too) writes FOLDER/model, photos and captions beside it, and prints the relative errors (under 1e-4 is asked for) and seconds. Photos are PNG
files of the size that the model's processor resizes to, so that both sides see the same bytes: a resampled byte that is rounded another
way moves the vectors of random networks by far more than 1e-4. Both sides decode and encode, with as many threads as there are cores.
"""

import csv
import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy
import open_clip
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AlignConfig, AlignModel, AltCLIPConfig, AltCLIPModel, BlipConfig, BlipForImageTextRetrieval, BlipTextConfig, GroupViTConfig,
    GroupViTModel, PreTrainedTokenizerFast, SiglipConfig, SiglipModel,
)
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.efficientnet.image_processing_pil_efficientnet import EfficientNetImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "clip")]
import real  # noqa: E402
from zoo import unit  # noqa: E402

PHOTOS, CAPTIONS, BATCH = 8, 64, 8
SIDES = {"align": 346, "altclip": 224, "groupvit": 224, "siglip": 224, "blip": 384, "vit": 224, "resnet": 224}
# open_clip's names of its sizes.
SIZES = {"vit": "ViT-B-32", "resnet": "RN50"}


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


def of_parity(name):
    """The script that made the small golden files of an architecture: its tokenizer is small, which no vector depends on."""
    spec = importlib.util.spec_from_file_location(f"{name}_make", Path(__file__).parent / name / "make.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def altclip(folder, pictures, texts):
    made = of_parity("altclip")
    made.LONGEST = 512
    words = made.tokenizer(folder)
    text = dict(vocab_size=250_002, hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16,
                max_position_embeddings=514, project_dim=768)
    vision = dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, image_size=224, patch_size=14)
    model = AltCLIPModel(AltCLIPConfig(text_config=text, vision_config=vision, projection_dim=768)).eval()
    randomise(model)
    return model, CLIPImageProcessorPil(), words


def siglip(folder, pictures, texts):
    made = of_parity("siglip")
    made.LONGEST = 64
    words = made.tokenizers(folder, folder)
    model = SiglipModel(SiglipConfig()).eval()
    randomise(model)

    def padded(texts, **_):
        batch = words(texts, padding="max_length", truncation=True, max_length=64, return_tensors="pt")
        return SimpleNamespace(input_ids=batch.input_ids, attention_mask=None)

    return model, SiglipImageProcessorPil(), padded


class OpenClip:
    """A model of open_clip with the methods of transformers that are called here."""

    def __init__(self, size):
        self.size, self.model = size, open_clip.create_model(size).eval()

    def save_pretrained(self, folder):
        config = {"model_cfg": open_clip.get_model_config(self.size), "preprocess_cfg": None}
        (folder / "open_clip_config.json").write_text(json.dumps(config))
        save_file({name: value.contiguous() for name, value in self.model.state_dict().items()}, folder / "open_clip_model.safetensors")

    def get_image_features(self, pixel_values):
        return SimpleNamespace(pooler_output=self.model.encode_image(pixel_values))

    def get_text_features(self, input_ids, attention_mask):
        # Its texts are always 77 tokens, filled up with zeros.
        padded = torch.zeros(len(input_ids), 77, dtype=torch.long)
        padded[:, : input_ids.shape[1]] = input_ids * attention_mask
        return SimpleNamespace(pooler_output=self.model.encode_text(padded))


def of_open_clip(name):
    def make(folder, pictures, texts):
        made, processor, words = OpenClip(SIZES[name]), CLIPImageProcessorPil(), real.tokenizer(folder)
        randomise(made.model)
        ids = torch.zeros(BATCH, 77, dtype=torch.long)
        settle(made.model, image=processor(pictures[:BATCH], return_tensors="pt").pixel_values, text=ids)
        return made, processor, words

    return make


MAKERS = {"align": align, "altclip": altclip, "groupvit": groupvit, "siglip": siglip, "blip": blip, "vit": of_open_clip("vit"),
          "resnet": of_open_clip("resnet")}


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
    model, processor, words = MAKERS[name](folder / "model", pictures, texts)
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
