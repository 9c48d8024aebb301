"""Times Tombolo and its peers in turns and prints the table; `bench/run.sh` calls it."""

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

import contest
import rows


def machine():
    names = (line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    return f"{next(names, platform.processor())}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def limits(settings):
    """The measured rates of this machine: floating-point operations in a matrix product, bytes read."""
    measured = {}
    for name in ("gemm", "bandwidth"):
        contestant = contest.Contestant(settings.peer("limits", name), settings.environment)
        measured[name] = max(amount / contestant.time() for amount in [rows.LIMIT_AMOUNTS[name]] * 5)
        contestant.close()
    return measured


def check_agreement(contestants, row):
    """Every contestant's result against ours; the largest relative error."""
    with tempfile.TemporaryDirectory() as folder:
        ours = contestants["ours"].result(folder)
        errors = {name: contest.relative_error(peer.result(folder), ours)
                  for name, peer in contestants.items() if name != "ours"}
    for name, error in errors.items():
        if not error < row.tolerance:
            raise SystemExit(f"{row.name}: {name} differs from ours by {error:.1e}, allowed {row.tolerance:.0e}")
    return max(errors.values(), default=0.0)


def check_recall(row, settings):
    """The share of the exact answers that ours finds, over all queries."""
    contestant = contest.Contestant(settings.ours(row.name + "_recall"), settings.environment)
    with tempfile.TemporaryDirectory() as folder:
        recall = float(contestant.result(folder)[0])
    contestant.close()
    if not recall >= row.recall:
        raise SystemExit(f"{row.name}: recall@10 is {recall:.4f}, wanted {row.recall}")
    return recall


def measure(row, settings, limits):
    recall = check_recall(row, settings) if row.recall else None
    contestants = {name: row.kind(argv, settings.environment) for name, argv in row.contestants(settings).items()}
    compared = {name: contestant for name, contestant in contestants.items() if name != "bound"}
    error = check_agreement(compared, row) if row.tolerance else None
    seconds = contest.take_turns(contestants, row.rounds, row.warm or bool(row.tolerance))
    for contestant in contestants.values():
        contestant.close()
    share = row.share(seconds, limits)
    seconds.pop("bound", None)
    figures = {name: row.figure(spent) for name, spent in seconds.items()}
    ours = figures.pop("ours")
    ratios = {name: seconds[name] / seconds["ours"] for name in figures}
    return {
        "name": row.name, "work": row.work, "ours": ours, "unit": row.unit, "peers": figures,
        "ratio_to_best_peer": min(ratios.values(), default=None), "ratios": ratios,
        "share_of_limit": share, "relative_error": error, "recall": recall,
    }


def show(result):
    number = lambda value: f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    peers = ", ".join(f"{name} {number(value)} ({result['ratios'][name]:.2f}×)" for name, value in result["peers"].items())
    share = result["share_of_limit"]
    cells = [result["name"], result["work"], f"{number(result['ours'])} {result['unit']}", peers or "–",
             f"{share:.2f}" if share is not None else "–"]
    if result["recall"] is not None:
        cells[1] += f" (recall@10 {result['recall']:.4f})"
    print("| " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", action="append")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--flickr8k", type=Path)
    arguments = parser.parse_args()
    chosen = [row for row in rows.ROWS if not arguments.only or row.name in arguments.only]
    if not chosen:
        raise SystemExit(f"no such row; there are: {', '.join(row.name for row in rows.ROWS)}")
    settings = rows.Settings(arguments.cache, arguments.models, arguments.flickr8k)
    measured = limits(settings)
    print(f"{machine()}; {settings.threads} threads; matrix product {measured['gemm'] / 1e9:.0f} GFLOP/s, "
          f"memory {measured['bandwidth'] / 1e9:.1f} GB/s\n", flush=True)
    print("| row | work | Tombolo | peers (how many times faster Tombolo is) | share of the limit |")
    print("|---|---|---|---|---|", flush=True)
    results = []
    for row in chosen:
        if row.needs_flickr8k and not settings.flickr8k:
            print(f"{row.name}: left out, it needs Flickr8K (TOMBOLO_FLICKR8K)", file=sys.stderr)
            continue
        results.append(measure(row, settings, measured))
        show(results[-1])
    if arguments.json:
        document = {"machine": machine(), "threads": settings.threads, "limits": measured, "rows": results}
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
