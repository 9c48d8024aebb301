"""Trains the rows of rows.py and writes docs/results.md; `bench/quality.sh` calls it."""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import measure
import report
import rows


# The seeds whose models are summed.
ENSEMBLE = (0, 1, 2)


def processor_seconds():
    """Of all commands that were run and are done."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Bench:
    def __init__(self, arguments):
        self.tombolo, self.flickr8k = arguments.tombolo.resolve(), arguments.flickr8k.resolve()
        self.runs, self.seeds = arguments.runs, arguments.seeds
        self.runs.mkdir(parents=True, exist_ok=True)

    def folder(self, name, seed):
        return self.runs / f"{name}-{seed}"

    def results(self, row):
        """What is known of a row: one result a seed."""
        seeds = ["all"] if row.ensemble else self.seeds
        files = [self.folder(row.name, seed) / "result.json" for seed in seeds]
        return [json.loads(file.read_text()) for file in files if file.exists()]

    def train(self, row):
        if row.ensemble:
            return self.sum_up(row)
        for seed in self.seeds:
            folder = self.folder(row.name, seed)
            if not (folder / "result.json").exists():
                print(f"{row.name}, seed {seed}", file=sys.stderr, flush=True)
                self.train_one(row, seed, folder)

    def train_one(self, row, seed, folder):
        start = ["--model", self.folder(row.start, seed)] if row.start else []
        settings = [part for setting in row.settings for part in ("--set", setting)]
        command = [self.tombolo, "train", f"flickr8k:{self.flickr8k}", "--out", folder, "--stages", ",".join(row.stages),
                   "--seed", str(seed), "--quiet", "--resume", *start, *settings]
        if folder.exists():  # Trained, and cut off before its result was written.
            shutil.rmtree(folder)
        started = processor_seconds()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = processor_seconds() - started
        model = tomllib.loads((folder / "model.toml").read_text())
        result = {"metrics": model["metrics"], "seconds": seconds, "parameters": measure.parameters(folder, row.stages),
                  "regularisation": model["training"]["settings"]["map"]["regularisation"]}
        (folder / "result.json").write_text(json.dumps(result))

    def sum_up(self, row):
        folder = self.folder(row.name, "all")
        members = [self.folder(row.ensemble, seed) for seed in ENSEMBLE]
        if (folder / "result.json").exists() or not all((member / "result.json").exists() for member in members):
            return
        folder.mkdir(exist_ok=True)
        parts = [json.loads((member / "result.json").read_text()) for member in members]
        total = {key: sum(part[key] for part in parts) for key in ("seconds", "parameters")}
        metrics = measure.ensemble(self.tombolo, self.flickr8k, members)
        (folder / "result.json").write_text(json.dumps({"metrics": metrics, **total}))


def main():
    parser = argparse.ArgumentParser()
    for name in ("tombolo", "flickr8k", "runs", "docs"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[0, 1, 2])
    parser.add_argument("--only", action="append")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    names = [group.name for group in rows.GROUPS]
    for name in arguments.only or []:
        if name not in names:
            raise SystemExit(f"no such group: {name}; there are: {', '.join(names)}")
    bench = Bench(arguments)
    if not arguments.write:
        bench.train(rows.GROUPS[0].rows[0])
        for group in rows.GROUPS:
            if not arguments.only or group.name in arguments.only:
                for row in group.rows:
                    bench.train(row)
    report.write(rows.GROUPS, bench.results, arguments.docs)


if __name__ == "__main__":
    main()
