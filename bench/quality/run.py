"""Trains the rows of rows.py and writes docs/results.md; `bench/quality.sh` calls it."""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import measure
import report
import rows

# The seeds that a figure is the mean over.
SEEDS = (0, 1, 2)


def processor_seconds():
    """Of all commands that were run and are done."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def features_size():
    """Bytes of the cache of what backbones said."""
    return sum(file.stat().st_size for file in Path(os.environ["TOMBOLO_HOME"], "features").glob("*/*"))


class Results:
    """What is known of the rows, kept beside this file: a run is large and may go, its figures stay."""

    def __init__(self, path):
        self.path, self.known = path, {}
        self.read()

    def read(self):
        if self.path.exists():
            self.known = json.loads(self.path.read_text())

    def of(self, row, seed):
        """The result of a row, if there is one with the row's settings of today."""
        result = self.known.get(row.name, {}).get(str(seed))
        return result if result and [result["settings"], result.get("preset")] == [row.settings, row.preset] else None

    def add(self, row, seed, result):
        self.read()  # Another run may have added some meanwhile.
        preset = {"preset": row.preset} if row.preset else {}
        self.known.setdefault(row.name, {})[str(seed)] = {"settings": row.settings, **preset, **result}
        self.path.write_text("{\n" + ",\n".join(self.lines()) + "\n}\n")

    def lines(self):
        """A line a run, so that changes can be read."""
        for name in sorted(self.known):
            runs = ",\n".join(f"  {json.dumps(seed)}: {json.dumps(run)}" for seed, run in sorted(self.known[name].items()))
            yield f"{json.dumps(name)}: {{\n{runs}\n}}"


class Bench:
    def __init__(self, arguments):
        self.tombolo, self.flickr8k = arguments.tombolo.resolve(), arguments.flickr8k.resolve()
        self.runs, self.seeds = arguments.runs, arguments.seeds
        self.runs.mkdir(parents=True, exist_ok=True)
        self.known = Results(Path(__file__).with_name("results.json"))

    def folder(self, name, seed):
        return self.runs / f"{name}-{seed}"

    def results(self, row):
        """What is known of a row: one result a seed; or else the mean over seeds of runs that are gone."""
        seeds = ["all"] if row.ensemble else SEEDS
        results = [result for seed in seeds if (result := self.known.of(row, seed))]
        return results or [result for result in [self.known.of(row, "mean")] if result]

    def train(self, row):
        if row.ensemble:
            return self.sum_up(row)
        for seed in self.seeds:
            if not self.known.of(row, seed):
                self.train_one(row, seed)

    def train_one(self, row, seed):
        """Trains a row, and before it the row that it starts from where that run is gone."""
        if row.start and not (self.folder(row.start, seed).exists() and self.known.of(rows.named(row.start), seed)):
            self.train_one(rows.named(row.start), seed)
        folder = self.folder(row.name, seed)
        print(f"{row.name}, seed {seed}", file=sys.stderr, flush=True)
        start = ["--model", self.folder(row.start, seed)] if row.start else []
        preset = ["--preset", row.preset] if row.preset else []
        settings = [part for setting in row.settings for part in ("--set", setting)]
        command = [self.tombolo, "train", f"flickr8k:{self.flickr8k}", "--out", folder, "--stages", ",".join(row.stages),
                   "--seed", str(seed), "--quiet", "--resume", *start, *preset, *settings]
        if folder.exists():  # Trained, and cut off before its result was written; or with other settings.
            shutil.rmtree(folder)
        started, cached = processor_seconds(), features_size()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        # What it takes with features cached is not known of a run that had to make them.
        seconds = round(processor_seconds() - started, 1) if features_size() == cached else None
        model = tomllib.loads((folder / "model.toml").read_text())
        self.known.add(row, seed, {
            "metrics": model["metrics"], "seconds": seconds, "parameters": measure.parameters(folder, row.stages),
            "regularisation": model["training"]["settings"]["map"]["regularisation"]})

    def sum_up(self, row):
        """The figures of an ensemble, where its members' runs are there."""
        parts = [self.known.of(rows.named(name), seed) for name, seed in row.ensemble]
        members = [self.folder(name, seed) for name, seed in row.ensemble]
        if self.known.of(row, "all") or not all(parts) or not all(member.exists() for member in members):
            return
        print(row.name, file=sys.stderr, flush=True)
        known = [part["seconds"] for part in parts]
        total = {"seconds": None if None in known else sum(known), "parameters": sum(part["parameters"] for part in parts)}
        self.known.add(row, "all", {"metrics": measure.ensemble(self.tombolo, self.flickr8k, members), **total})


def main():
    parser = argparse.ArgumentParser()
    for name in ("tombolo", "flickr8k", "runs", "docs"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=list(SEEDS))
    parser.add_argument("--only", action="append")
    parser.add_argument("--row", action="append")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    names = [group.name for group in rows.GROUPS]
    for name in arguments.only or []:
        if name not in names:
            raise SystemExit(f"no such group: {name}; there are: {', '.join(names)}")
    bench = Bench(arguments)
    if not arguments.write:
        for group in rows.GROUPS:
            if not arguments.only or group.name in arguments.only:
                for row in group.rows:
                    if not arguments.row or row.name in arguments.row:
                        bench.train(row)
    report.write(rows.GROUPS, bench.results, arguments.docs)


if __name__ == "__main__":
    main()
