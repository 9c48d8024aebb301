"""The paper's baselines at their real sizes with random weights, in Hugging Face's layout: random_models.py NAME FOLDER."""

import sys
from pathlib import Path

import torch
from transformers import AltCLIPConfig, AltCLIPModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

PARITY = Path(__file__).parent.parent.parent / "parity"
sys.path[:0] = [str(PARITY), str(PARITY / "clip"), str(PARITY / "altclip")]


def clip(folder):
    import real
    real.tokenizer(folder)
    real.model(folder)
    CLIPImageProcessorPil().save_pretrained(folder)


def altclip(folder):
    """ViT-L/14 and XLM-R large, the sizes of BAAI/AltCLIP; the vocabulary is the small one of our parity files."""
    import importlib.util
    spec = importlib.util.spec_from_file_location("altclip_make", PARITY / "altclip" / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    words = make.tokenizer(folder)
    text = dict(vocab_size=len(words), hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16,
                max_position_embeddings=514, project_dim=768)
    vision = dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, image_size=224, patch_size=14)
    AltCLIPModel(AltCLIPConfig(text_config=text, vision_config=vision, projection_dim=768)).save_pretrained(folder)
    CLIPImageProcessorPil().save_pretrained(folder)


def other(name):
    def make(folder):
        import real
        import real_size
        from PIL import Image
        side = real_size.SIDES[name]
        photos = real.photos(folder.parent / f"photos-of-{name}", real_size.PHOTOS, (side, side))
        pictures = [Image.open(path).convert("RGB") for path in photos]
        model, processor, _ = getattr(real_size, name)(folder, pictures, real.captions())
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
    return make


MAKERS = {"CLIP": clip, "AltCLIP": altclip, "ALIGN": other("align"), "GroupViT": other("groupvit")}

if __name__ == "__main__":
    name, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    MAKERS[name](folder)
