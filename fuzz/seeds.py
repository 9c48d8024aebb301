"""Makes the files that fuzzing begins with: small, whole, one of each kind. Needs torch, safetensors and Pillow.

    python3 fuzz/seeds.py
"""

import io
import zipfile
from pathlib import Path

import safetensors.torch
import torch
from PIL import Image

HERE = Path(__file__).parent / "seeds"


def write(target, name, content):
    folder = HERE / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def saved(state, legacy):
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


def checkpoints():
    # Each storage has 64 bytes, as those of the archive that the target makes.
    shared = torch.zeros(16)
    state = {"a.weight": torch.arange(16.0).reshape(4, 4), "b": torch.ones(32, dtype=torch.float16), "c": torch.arange(8)}
    views = {"first": shared[:4].reshape(2, 2), "second": shared[4:].reshape(3, 4).t()}
    kinds = {kind: torch.zeros(64 // getattr(torch, kind).itemsize, dtype=getattr(torch, kind))
             for kind in ("float32", "float64", "bfloat16", "int64", "uint8", "bool")}
    for name, tensors in (("state", state), ("views", views), ("kinds", kinds)):
        new = saved(tensors, legacy=False)
        pickle = next(data for data in zipped(new) if data[0].endswith("/data.pkl"))[1]
        whole = {key: tensor.clone().contiguous() for key, tensor in tensors.items()}
        write("checkpoint", f"{name}.safetensors", b"\0" + safetensors.torch.save(whole, {"format": "pt"}))
        write("checkpoint", f"{name}.legacy", b"\1" + saved(tensors, legacy=True))
        write("checkpoint", f"{name}.zip", b"\1" + new)
        write("checkpoint", f"{name}.pickle", b"\2" + pickle)


def zipped(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def images():
    picture = Image.new("RGB", (6, 5), (200, 30, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation.
    exif[0x010F] = "Maker"
    for kind, more in (("JPEG", {"exif": exif}), ("PNG", {"exif": exif}), ("GIF", {}), ("BMP", {}), ("WEBP", {"exif": exif}), ("TIFF", {})):
        file = io.BytesIO()
        picture.save(file, kind, **more)
        write("image", f"small.{kind.lower()}", file.getvalue())
    file = io.BytesIO()
    picture.convert("RGBA").save(file, "PNG", interlace=1)
    write("image", "clear.png", file.getvalue())
    file = io.BytesIO()
    picture.convert("CMYK").save(file, "JPEG", progressive=True)
    write("image", "cmyk.jpeg", file.getvalue())


def expressions():
    texts = ["dog AND beach", "(cat OR kitten) AND NOT indoors", 'image:cat.jpg AND "in the snow"', 'NOT (NOT "a \\" b" OR image:"x y")',
             "score 3e800000 12 3000 /photos/a b.jpg", "moment 2019-05-31T18:03:59 0123456789abcdef"]
    for number, text in enumerate(texts):
        write("expression", f"{number}", text.encode())


def libraries():
    """Some bytes of each file changed; `library.rs` says how they are read. There are twelve, and one more is never there."""
    for file in range(13):
        write("library", f"{file}", bytes([file, 30, 0, 0]) + b"\xff" * 4)


checkpoints(), images(), expressions(), libraries()
