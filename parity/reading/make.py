"""Golden files for what models are given: token ids of odd texts, and pictures as their processors make them.

Reference: transformers 5.23.0 (the image processors on Pillow, the tokenizers' own classes), tokenizers, Pillow 13.0.0.
Tolerance: token ids are equal; a value of a picture is off by one level of a byte at most.

    python parity/reading/make.py

writes for each of align, altclip, blip, groupvit, vit and dinov2 a folder with
    config.json                  the kind of model and, where its size is said there, the size
    preprocessor_config.json     the published checkpoint's processor, for small pictures
    expected.safetensors         processed [3, side, side]: what it makes of parity/pillow/rgb.png
and for align, blip and groupvit
    tokenizer.json, tokenizer_config.json   a tokenizer of the model's class, its words learned from docs/
    texts.json                   [{"text", "ids"}], cut to 20 tokens
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image
from safetensors.torch import save_file
from tokenizers import BertWordPieceTokenizer
from transformers import BertTokenizer
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.efficientnet.image_processing_pil_efficientnet import EfficientNetImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE.parent / "clip"))
from make import tokenizer as clip_tokenizer  # noqa: E402
from zoo import TEXTS, prose, write_json  # noqa: E402

LONGEST = 20
BICUBIC, BILINEAR = 3, 2
IMAGENET = dict(image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225])


def square(side):
    return {"height": side, "width": side}


def bert(folder):
    """Words in lower case and their parts, between [CLS] and [SEP], as bert-base-uncased has them."""
    learner = BertWordPieceTokenizer(lowercase=True)
    learner.train_from_iterator(prose(), vocab_size=600, show_progress=False)
    with tempfile.TemporaryDirectory() as scratch:
        learner.save_model(scratch)
        made = BertTokenizer.from_pretrained(scratch, do_lower_case=True, model_max_length=LONGEST)
    made.save_pretrained(folder)
    return made


def clip(folder):
    made = clip_tokenizer(folder)
    for file in ("vocab.json", "merges.txt"):
        (folder / file).unlink()
    return made


def write(name, processor, config, tokenizer=None):
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    processor.save_pretrained(folder)
    picture = Image.open(HERE.parent / "pillow/rgb.png").convert("RGB")
    processed = processor(picture, return_tensors="pt").pixel_values[0]
    save_file({"processed": processed.contiguous()}, folder / "expected.safetensors")
    if tokenizer:
        config = {**config, "text_config": {"max_position_embeddings": LONGEST}}
        words = tokenizer(folder)
        encoded = [words(text, truncation=True, max_length=LONGEST).input_ids for text in TEXTS]
        write_json(folder / "texts.json", [{"text": text, "ids": ids} for text, ids in zip(TEXTS, encoded)])
    write_json(folder / "config.json", config)


if __name__ == "__main__":
    # kakaobrain/align-base: 346, 289.
    align = EfficientNetImageProcessorPil(
        size=square(41), crop_size=square(37), do_center_crop=True, resample=BILINEAR, rescale_factor=1 / 127.5, rescale_offset=True,
        do_normalize=False, include_top=False,
    )
    write("align", align, {"model_type": "align"}, bert)
    # BAAI/AltCLIP and nvidia/groupvit-gcc-yfcc: 224, 224.
    of_clip = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=square(32), resample=BICUBIC)
    write("altclip", of_clip, {"model_type": "altclip", "vision_config": {"image_size": 32}})
    write("groupvit", of_clip, {"model_type": "groupvit", "vision_config": {"image_size": 32}}, clip)
    # Salesforce/blip-itm-base-coco: 384.
    blip = BlipImageProcessorPil(size=square(32), resample=BICUBIC)
    write("blip", blip, {"model_type": "blip", "vision_config": {"image_size": 32}}, bert)
    # google/vit-base-patch16-224: 224.
    write("vit", ViTImageProcessorPil(size=square(32), resample=BILINEAR), {"model_type": "vit", "image_size": 32})
    # facebook/dinov2-base: 256, 224.
    dinov2 = BitImageProcessorPil(size={"shortest_edge": 37}, crop_size=square(32), resample=BICUBIC, **IMAGENET)
    write("dinov2", dinov2, {"model_type": "dinov2", "image_size": 32})
