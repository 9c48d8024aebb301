"""Golden pictures for tombolo-data: resampling, and one file per format and orientation.

Versions:   Python 3, Pillow 13.0.0 (libjpeg-turbo 6.2 API), numpy 2.4.6
Seed:       20240531, numpy's default_rng
Tolerance:  resampling one level of 255; formats exact where lossless, 40 levels in JPEG (flat quadrants)
Run:        python parity/pillow/make.py    (writes beside itself; the output is committed)

NAME.png                        an input, drawn here
NAME.FILTER.WIDTHxHEIGHT.png    that input laid on white, in RGB, resampled by Pillow's Image.resize
exif-N.jpg                      the quadrants, stored so that EXIF orientation N shows them upright
quadrants.*, quadrants-*.*      the quadrants in other formats: red, green over blue, yellow; 32 x 16
"""

from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos3": Image.Resampling.LANCZOS,
}
# Make and model by orientation.
CAMERAS = {5: {0x10F: "Canon", 0x110: "PowerShot G9"}, 6: {0x10F: "NIKON CORPORATION", 0x110: "NIKON D90"}}
# What undoes each orientation's turn.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
ORIENTATION, EXIF_IFD, TAKEN, OFFSET = 0x0112, 0x8769, 0x9003, 0x9011


def waves(rng, height, width, channels):
    """Smooth waves with noise and hard edges: all that resampling can get wrong."""
    y, x = np.mgrid[0:height, 0:width]
    planes = []
    for channel in range(channels):
        plane = 127 + 90 * np.sin(x / (3 + channel)) * np.cos(y / (5 - channel)) + rng.normal(0, 18, (height, width))
        plane[(x // 9 + y // 7) % 5 == channel] = 255 * (channel % 2)
        planes.append(plane)
    return np.clip(np.stack(planes, axis=-1), 0, 255).astype(np.uint8)


def on_white(image):
    if "A" not in image.getbands():
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def resampled(rng):
    inputs = {
        "rgb": Image.fromarray(waves(rng, 37, 53, 3), "RGB"),
        "grey": Image.fromarray(waves(rng, 41, 29, 1)[..., 0], "L"),
        "alpha": Image.fromarray(waves(rng, 24, 32, 4), "RGBA"),
    }
    for name, image in inputs.items():
        image.save(HERE / f"{name}.png", optimize=True)
        for kind, resampling in FILTERS.items():
            for size in [(16, 16), (53, 20), (40, 61)]:
                out = on_white(image).resize(size, resampling)
                out.save(HERE / f"{name}.{kind}.{size[0]}x{size[1]}.png", optimize=True)


def quadrants():
    picture = np.zeros((16, 32, 3), np.uint8)
    picture[:8, :16] = 255, 0, 0
    picture[:8, 16:] = 0, 255, 0
    picture[8:, :16] = 0, 0, 255
    picture[8:, 16:] = 255, 255, 0
    return Image.fromarray(picture, "RGB")


def formats(picture):
    for orientation, turn in STORED.items():
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        if orientation == 6:
            exif.get_ifd(EXIF_IFD)[TAKEN] = "2024:05:31 18:03:59"
            exif.get_ifd(EXIF_IFD)[OFFSET] = "+02:00"
        for tag, value in CAMERAS.get(orientation, {}).items():
            exif[tag] = value
        stored = picture.transpose(turn) if turn is not None else picture
        stored.save(HERE / f"exif-{orientation}.jpg", quality=95, subsampling=0, exif=exif)
    for extension, options in {"webp": {"lossless": True}, "bmp": {}, "tiff": {"compression": "tiff_lzw"}}.items():
        picture.save(HERE / f"quadrants.{extension}", **options)
    second = Image.new("RGB", picture.size, "black")
    picture.save(HERE / "quadrants.gif", save_all=True, append_images=[second], duration=100)
    picture.convert("P", palette=Image.Palette.ADAPTIVE).save(HERE / "quadrants-palette.png")
    picture.convert("CMYK").save(HERE / "quadrants-cmyk.jpg", quality=95)
    Image.fromarray(np.linspace(0, 65535, 32 * 16).astype(np.uint16).reshape(16, 32)).save(HERE / "grey16.png")


if __name__ == "__main__":
    resampled(np.random.default_rng(20240531))
    formats(quadrants())
