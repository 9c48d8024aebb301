"""Measures what docs/paper.md shows; `bench/paper.sh` calls it."""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import tables

BASELINES = ("ALIGN", "AltCLIP", "CLIP", "GroupViT")
# Of a random baseline: its figures mean nothing, so a part of the split is enough to show that it runs.
RANDOM_PHOTOS = 50


class Paper:
    def __init__(self, arguments):
        self.tombolo = arguments.tombolo.resolve()
        self.folder = (arguments.home / "paper").resolve()
        self.flickr8k = f"flickr8k:{arguments.flickr8k.resolve()}"
        self.karpathy = arguments.flickr8k.resolve() / "dataset_flickr8k.json"
        self.fg, self.coco, self.only = arguments.fg, arguments.coco, arguments.only
        self.weights = dict(pair.split("=", 1) for pair in arguments.weights)
        unknown = set(self.weights) - set(BASELINES)
        if unknown:
            raise SystemExit(f"--weights: expected one of {', '.join(BASELINES)}, found {', '.join(sorted(unknown))}")

    def wants(self, part):
        return not self.only or part in self.only

    def run(self, *arguments):
        print("tombolo", *arguments, file=sys.stderr, flush=True)
        subprocess.run([self.tombolo, *arguments], check=True, stdout=subprocess.DEVNULL)

    def evaluate(self, name, datasets, models, *more):
        """One result a model and data set, from the file that `tombolo eval` writes, kept from an earlier run of the same; none if this
        part is not wanted and was never run. `models`: their MODEL by name."""
        out, asked = self.folder / "results" / name, self.folder / "results" / f"{name}.asked.json"
        flags = [part for model in models.values() for part in ("--model", str(model))]
        command = [*map(str, datasets), *flags, *more]
        files = [Path(model) / "model.toml" for model in models.values()]
        wanted = [command, [file.read_text() if file.exists() else "" for file in files]]
        known = (out / "results.json").exists() and asked.exists() and json.loads(asked.read_text()) == wanted
        if not models or not (known or self.wants(name)):
            return []
        if not known:
            shutil.rmtree(out, ignore_errors=True)
            self.run("eval", *command, "--out", f"{out}/")
            asked.write_text(json.dumps(wanted))
        results = json.loads((out / "results.json").read_text())["evaluations"]
        names = {str(model): label for label, model in models.items()}
        return [result | {"model": names[result["model"]]} for result in results]

    def trained(self, name, dataset, *settings):
        """The run of this name, trained anew where it was trained with another command. None if it is not there and no part wants it."""
        run, asked = self.folder / name, self.folder / f"{name}.asked.json"
        command = ["train", dataset, "--out", str(run), "--seed", "0", *settings]
        known = (run / "model.toml").exists() and asked.exists() and json.loads(asked.read_text()) == command
        if not known and any(map(self.wants, OURS)):
            shutil.rmtree(run, ignore_errors=True)
            self.run(*command, "--resume")
            asked.write_text(json.dumps(command))
            known = True
        return run if known else None

    def baselines(self):
        """The baselines with weights, and those with random ones, made where they are wanted."""
        random = {}
        for name in BASELINES:
            if name not in self.weights:
                folder = self.folder / "random" / name
                if not (folder / "config.json").exists() and self.wants("random"):
                    print(f"random weights of {name}", file=sys.stderr, flush=True)
                    subprocess.run([sys.executable, Path(__file__).parent / "random_models.py", name, folder], check=True)
                random[name] = folder
        return self.weights, random

    def ours(self):
        frozen = ["--set", "text.output=0", "--set", "image.output=0", "--set", "map.kind=cca"]
        trained = {
            "Tombolo, default": self.trained("default", self.flickr8k),
            "Tombolo, closed form": self.trained("closed-form", self.flickr8k, *frozen),
            "VSE++ preset, over Lite0": self.trained("vse", self.flickr8k, "--preset", "vse++", "--set", "image.backbone=efficientnet-lite0"),
        }
        return trained if all(trained.values()) else {}

    def few(self):
        """The first photos of the split, in Karpathy's form."""
        images = [image for image in json.loads(self.karpathy.read_text())["images"] if image["split"] == "val"]
        path = self.folder / "few.json"
        path.write_text(json.dumps({"images": images[:RANDOM_PHOTOS]}))
        return f"karpathy:{path},images={self.karpathy.parent / 'images'}"


# The parts that our own models are trained for.
OURS = ("ours", "perturbed", "fine-grained", "zero-shot")
PARTS = ("random", "baselines", "ours", "perturbed", "fine-grained", "emoji", "zero-shot")


def found(paper):
    """The results of each part, those that are not wanted now from an earlier run."""
    real, random = paper.baselines()
    ours = paper.ours()
    results = {
        "random": paper.evaluate("random", [paper.few()], random, "--split", "val"),
        "baselines": paper.evaluate("baselines", [paper.flickr8k], real, "--split", "val"),
        "ours": paper.evaluate("ours", [paper.flickr8k], ours, "--split", "val"),
        "perturbed": paper.evaluate("perturbed", [paper.flickr8k], ours, "--split", "val", "--perturb", "all"),
        "emoji": paper.evaluate("emoji", ["emoji"], {"emoji-starter": "emoji-starter"}, "--perturb", "all"),
    }
    if paper.fg.exists():
        few = [f"{paper.flickr8k},fg={paper.fg.resolve()}"]
        results["fine-grained"] = paper.evaluate("fine-grained", few, ours, "--split", "val", "--perturb", "all")
    if paper.coco:
        coco = paper.trained("coco", f"coco:{Path(paper.coco).resolve()}") if paper.wants("zero-shot") else None
        results["zero-shot"] = paper.evaluate("zero-shot", [paper.flickr8k], {"trained on COCO": coco} if coco else {}, "--split", "val")
    return results


def main():
    parser = argparse.ArgumentParser()
    for name in ("tombolo", "home", "docs", "flickr8k", "fg"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--coco", default="")
    parser.add_argument("--weights", action="append", default=[])
    parser.add_argument("--only", action="append", choices=PARTS)
    arguments = parser.parse_args()
    paper = Paper(arguments)
    (arguments.docs / "paper.md").write_text(tables.document(found(paper), RANDOM_PHOTOS))


if __name__ == "__main__":
    main()
