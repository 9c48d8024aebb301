"""What a map of one's own is worth, with and without what a starter knows beside it.

    python3 bench/own_map.py --tombolo target/release/tombolo --flickr8k DIR --work DIR

One's own photos are here an archive in black and white: the first 1,000 training photos of Flickr8K and its val split, without colour, at half their
sides, in JPEG of quality 60. Of val, every second photo is a validation split, to choose by, and the others are the test split that is told. For 100 and
1,000 pairs, drawn with three seeds, a map is trained on the towers of `photo-starter`; hubs are held back by all 1,000 training photos. And once with
100 captions of 20 photos in all, and nothing to choose by. `photo-starter` knows the training photos, in colour, with these captions, and was chosen on
Flickr8K val. What is there in WORK from an earlier run is not made again.
"""

import argparse
import csv
import itertools
import json
import statistics
import subprocess
from pathlib import Path

from PIL import Image

PAIRS = (100, 1000)
SEEDS = (0, 1, 2)
PHOTOS = 1000
FEW = 100
FIGURES = (("image_to_text", "recall@1"), ("text_to_image", "recall@1"))


def few(data):
    """The captions of its first photos, as CSV without splits but for one."""
    path = data.with_name("few.csv")
    with data.open(newline="") as file, path.open("w", newline="") as out:
        csv.writer(out).writerows(itertools.islice(csv.reader(file), 1 + FEW))
    return path


def archive(flickr8k, work):
    """The data set, as CSV."""
    path = work / "archive.csv"
    if path.exists():
        return path
    images = json.loads((flickr8k / "dataset_flickr8k.json").read_text())["images"]
    training = [image for image in images if image["split"] == "train"][:PHOTOS]
    held_out = [image for image in images if image["split"] == "val"]
    splits = [(image, "train") for image in training]
    splits += [(image, "val" if place % 2 else "test") for place, image in enumerate(held_out)]
    (work / "archive").mkdir(exist_ok=True)
    rows = [("image", "caption", "split")]
    for image, split in splits:
        name = f"archive/{image['filename']}"
        photo = Image.open(flickr8k / "images" / image["filename"]).convert("L")
        photo.resize((photo.width // 2, photo.height // 2)).save(work / name, quality=60)
        rows += [(name, sentence["raw"], split) for sentence in image["sentences"]]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


class Bench:
    def __init__(self, tombolo, data, work):
        self.tombolo, self.data, self.work = tombolo, data, work

    def run(self, *arguments):
        return subprocess.run([self.tombolo, *map(str, arguments)], cwd=self.work, check=True, stdout=subprocess.PIPE, text=True).stdout

    def measured(self, name, model):
        """Its result on the test split."""
        path = self.work / f"{name}.json"
        if not path.exists():
            path.write_text(self.run("eval", f"csv:{self.data}", "--split", "test", "--model", model, "--json"))
        return json.loads(path.read_text())

    def trained(self, kind, data, previous, seed, *settings):
        name = f"{kind}-{'both' if previous else 'alone'}-{seed}"
        if not (self.work / name).exists():
            self.run("train", "map", f"csv:{data}", "--model", "photo-starter", "--out", name, "--seed", seed,
                     "--set", f"map.previous={str(previous).lower()}", *settings)
        return self.measured(name, name)


def row(what, results):
    """Means over the seeds, and the spread of rsum."""
    recalls = [statistics.mean(result[side][figure] for result in results) for side, figure in FIGURES]
    sums = [result["rsum"] for result in results]
    spread = f" ± {statistics.stdev(sums):.1f}" if len(sums) > 1 else ""
    print(f"| {what} | " + " | ".join(f"{100 * recall:.1f}" for recall in recalls) + f" | {statistics.mean(sums):.1f}{spread} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    for name in ("tombolo", "flickr8k", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    bench = Bench(arguments.tombolo.resolve(), archive(arguments.flickr8k.resolve(), work), work)
    print("| map | recall@1 image→text | text→image | sum of recalls |\n|---|---|---|---|")
    row("`photo-starter` as it is", [bench.measured("starter", "photo-starter")])
    ways = ((False, "alone"), (True, "and the starter's beside it"))
    for previous, what in ways:
        results = [bench.trained("few", few(bench.data), previous, seed) for seed in SEEDS]
        row(f"{FEW} captions in all, {what}", results)
    for pairs in PAIRS:
        for previous, what in ways:
            setting = ("--set", f"map.pairs={pairs}")
            results = [bench.trained(pairs, bench.data, previous, seed, *setting) for seed in SEEDS]
            row(f"{pairs:,} pairs, {what}", results)


if __name__ == "__main__":
    main()
