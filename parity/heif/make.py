"""Makes the HEIC and AVIF files that tombolo-data is tested with.

Versions:   Python 3, Pillow 13.0.0, pillow-heif 1.8.1 (libheif 1.23.6, x265 4.3); Debian 12's libheif-examples 1.15.1
            (libaom 3.6.0, x265 3.5)
Tolerance:  lossy; tests allow 12 levels of 255 in the middle of a quadrant
Run:        python parity/heif/make.py    (writes beside itself; the output is committed)

Four quadrants, red and green above blue and white, 64 x 48 when upright. `turned.heic` is stored on its side, with a rotation
of the item (`irot`) that undoes it. `alpha.avif` has 10 bits a channel, and its right half is transparent.
"""

import pathlib
import subprocess
import tempfile

import pillow_heif
from PIL import Image

FOLDER = pathlib.Path(__file__).parent
COLOURS = [(220, 30, 30), (30, 200, 40), (40, 60, 220), (250, 250, 250)]


def quadrants():
    picture = Image.new("RGB", (64, 48))
    for index, colour in enumerate(COLOURS):
        picture.paste(colour, (index % 2 * 32, index // 2 * 24, index % 2 * 32 + 32, index // 2 * 24 + 24))
    return picture


def encode(source, name, *arguments):
    subprocess.run(["heif-enc", "-q", "90", *arguments, "-o", FOLDER / name, source], check=True)


with tempfile.TemporaryDirectory() as scratch:
    scratch = pathlib.Path(scratch)
    exif = Image.Exif()
    exif[0x0110] = "Camera of the test"
    exif.get_ifd(0x8769)[0x9003] = "2024:05:31 18:03:59"
    quadrants().save(scratch / "upright.jpg", quality=98, exif=exif)
    encode(scratch / "upright.jpg", "quadrants.heic")
    encode(scratch / "upright.jpg", "quadrants.avif")
    exif[0x0112] = 6
    turned = quadrants().transpose(Image.Transpose.ROTATE_90)
    pillow_heif.from_pillow(turned).save(FOLDER / "turned.heic", quality=90, exif=exif.tobytes())
    alpha = quadrants().convert("RGBA")
    alpha.paste((0, 0, 0, 0), (32, 0, 64, 48))
    alpha.save(scratch / "alpha.png")
    encode(scratch / "alpha.png", "alpha.avif", "-b", "10")
