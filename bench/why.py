"""Does the *why* overlay find the right part of a photo? Flickr8K val, four photos put together into one.

    PYTHON bench/why.py --tombolo target/release/tombolo --flickr8k DIR [--model MODEL] [--pictures 60]

PYTHON: with Pillow, as the virtual environment of bench/run.sh has it. The first caption of each of the four photos asks which parts of the
whole match it. It is right when, of the four quarters of the answer without its middle row and column, its own has the highest mean; chance
is one in four.
"""

import argparse
import json
import random
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from PIL import Image

SIDE = 224


def put_together(photos, out):
    whole = Image.new("RGB", (2 * SIDE, 2 * SIDE))
    for place, photo in enumerate(photos):
        whole.paste(Image.open(photo).convert("RGB").resize((SIDE, SIDE)), (place % 2 * SIDE, place // 2 * SIDE))
    whole.save(out)


def answer(url, body=None):
    data = body and json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"} if data else {})
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def wait_for(url):
    while True:
        try:
            return answer(f"{url}/health")
        except urllib.error.URLError:
            time.sleep(0.1)


def best_quarter(why):
    half, columns = why["rows"] // 2, why["columns"]
    rows = [why["cells"][row * columns:(row + 1) * columns] for row in range(why["rows"])]
    quarters = [[row[side] for row in part for side in sides] for part in (rows[:half], rows[-half:])
                for sides in (range(half), range(columns - half, columns))]
    return max(range(4), key=lambda quarter: sum(quarters[quarter]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tombolo", type=Path, required=True)
    parser.add_argument("--flickr8k", type=Path, required=True)
    parser.add_argument("--model", default="photo-starter")
    parser.add_argument("--pictures", type=int, default=60)
    arguments = parser.parse_args()
    images = [image for image in json.loads((arguments.flickr8k / "dataset_flickr8k.json").read_text())["images"]
              if image["split"] == "val"]
    random.Random(0).shuffle(images)
    with tempfile.TemporaryDirectory() as folder:
        pictures, library = Path(folder) / "pictures", Path(folder) / "library"
        pictures.mkdir()
        captions = {}
        for number in range(arguments.pictures):
            four = images[4 * number:4 * number + 4]
            put_together([arguments.flickr8k / "images" / image["filename"] for image in four], pictures / f"{number}.png")
            captions[f"{number}.png"] = [image["sentences"][0]["raw"] for image in four]
        subprocess.run([arguments.tombolo, "index", pictures, "--library", library, "--model", arguments.model, "--quiet"],
                       check=True, stdout=subprocess.DEVNULL)
        serve = [arguments.tombolo, "serve", "--library", library, "--bind", "127.0.0.1:0", "--json", "--quiet"]
        server = subprocess.Popen(serve, stdout=subprocess.PIPE)
        try:
            url = json.loads(server.stdout.readline())["url"]
            wait_for(url)
            right = asked = 0
            for hit in answer(f"{url}/search", {"top": 1_000})["hits"]:
                for place, caption in enumerate(captions[Path(hit["path"]).name]):
                    words = urllib.parse.quote('"' + caption.replace('"', "") + '"')
                    right += best_quarter(answer(f"{url}/items/{hit['id']}/why?query={words}")) == place
                    asked += 1
        finally:
            server.terminate()
            server.wait()
    print(f"model {arguments.model}: {right} of {asked} right, {100 * right / asked:.1f}%; chance 25%")


if __name__ == "__main__":
    main()
