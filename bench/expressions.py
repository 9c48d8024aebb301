"""Do set expressions find what vector arithmetic does not? Flickr8K val, labelled by the words of its captions.

    python3 bench/expressions.py --tombolo target/release/tombolo --flickr8k DIR [--model MODEL] [--json OUT]

A photo has a label if one of its five captions has one of the label's words, or not if none has. For every pair of labels A, B whose
set has at least ten photos, the sets A and B, and A without B, are asked for in four ways:

    expression    A AND B                A AND NOT B
    arithmetic    A --add B              A --subtract B
    sentence      "A and B"              "A without B" (words alone)
    first word    A                      A

and each way is judged by the mean average precision of its ranking of all 1,000 photos, over the pairs.
"""

import argparse
import itertools
import json
import subprocess
import tempfile
from pathlib import Path

LABELS = {
    "dog": "dog dogs puppy puppies", "child": "child children boy boys girl girls kid kids toddler", "man": "man men guy",
    "woman": "woman women lady", "snow": "snow snowy", "water": "water lake river pool ocean sea pond", "beach": "beach sand sandy",
    "grass": "grass grassy lawn", "bicycle": "bicycle bike bicycles bikes cyclist biker", "ball": "ball balls football soccer tennis basketball",
    "street": "street road sidewalk", "mountain": "mountain mountains cliff rock rocks",
}
LEAST = 10


def labels_of(image):
    words = {word.strip(".,\"'!").lower() for sentence in image["sentences"] for word in sentence["raw"].split()}
    return {label for label, forms in LABELS.items() if words & set(forms.split())}


def average_precision(ranking, relevant):
    hits, total = 0, 0.0
    for rank, name in enumerate(ranking, 1):
        if name in relevant:
            hits += 1
            total += hits / rank
    return total / len(relevant)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tombolo", type=Path, required=True)
    parser.add_argument("--flickr8k", type=Path, required=True)
    parser.add_argument("--model", default="photo-starter")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    tombolo = arguments.tombolo.resolve()
    images = [image for image in json.loads((arguments.flickr8k / "dataset_flickr8k.json").read_text())["images"]
              if image["split"] == "val"]
    labels = {image["filename"]: labels_of(image) for image in images}

    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "library"
        paths = [arguments.flickr8k / "images" / image["filename"] for image in images]
        subprocess.run([tombolo, "index", *paths, "--library", library, "--model", arguments.model, "--quiet"],
                       check=True, stdout=subprocess.DEVNULL)

        def ranking(*query):
            command = [tombolo, "search", *query, "--library", library, "--top", str(len(images)), "-0", "--exact"]
            found = subprocess.run(command, check=True, capture_output=True).stdout.decode()
            return [Path(path).name for path in found.split("\0") if path]

        alone = {label: ranking(label) for label in LABELS}
        results = {}
        for kind, ways in {
            "A AND B": lambda a, b: {"expression": [f"{a} AND {b}"], "arithmetic": [a, "--add", b], "sentence": [f"{a} and {b}"]},
            "A AND NOT B": lambda a, b: {"expression": [f"{a} AND NOT {b}"], "arithmetic": [a, "--subtract", b],
                                         "sentence": [f"{a} without {b}"]},
        }.items():
            pairs = itertools.combinations(LABELS, 2) if kind == "A AND B" else itertools.permutations(LABELS, 2)
            scores = {"expression": [], "arithmetic": [], "sentence": [], "first word": []}
            for a, b in pairs:
                both = {name for name, own in labels.items() if a in own and (b in own) == (kind == "A AND B")}
                other = {name for name, own in labels.items() if a in own and b in own}
                # A without B asks for something only where some photos have both.
                if len(both) < LEAST or len(other) < LEAST:
                    continue
                for way, query in ways(a, b).items():
                    scores[way].append(average_precision(ranking(*query), both))
                scores["first word"].append(average_precision(alone[a], both))
            results[kind] = {"pairs": len(scores["expression"])} | {way: sum(s) / len(s) for way, s in scores.items()}
    print(f"model {arguments.model}; mean average precision over pairs of labels\n")
    print("| set | pairs | expression | arithmetic | sentence | A alone |\n|---|---|---|---|---|---|")
    for kind, found in results.items():
        print(f"| {kind} | {found['pairs']} | {found['expression']:.3f} | {found['arithmetic']:.3f} | {found['sentence']:.3f} | "
              f"{found['first word']:.3f} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
