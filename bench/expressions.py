"""Do set expressions find what vector arithmetic does not? Flickr8K val, labelled by the words of its captions.

    python3 bench/expressions.py --tombolo target/release/tombolo --flickr8k DIR [--model MODEL]

A photo has a label if one of its five captions has one of the label's words. For every pair of labels A, B three sets are asked for, where
they are worth asking for: both, where ten photos have both; one of them, where fewer have both; A without B, where ten have both and ten A alone.
Each is asked for in three ways, beside which stands the first word alone:

    expression    A AND B        A OR B         A AND NOT B
    arithmetic    A --add B      A --add B      A --subtract B
    sentence      "A and B"      "A or B"       "A without B"    (words alone)
    product       a · b          a + b − a · b  a · (1 − b)      (of the words' probabilities: what Tombolo does not do)

Then a photo is asked for with a word: three photos that have A and not B for every ordered pair that ten photos have both of, the first by
their names. Wanted is what has both, or A alone:

    expression    image:PHOTO AND B    image:PHOTO AND NOT B
    arithmetic    PHOTO --add B        PHOTO --subtract B

The photo itself is left out of what is found.
Each way is judged by its ranking of all 1,000 photos: mean average precision, and the share of right ones among the first ten.
"""

import argparse
import functools
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
PHOTOS = 3
PRODUCTS = {"A AND B": lambda a, b: a * b, "A OR B": lambda a, b: a + b - a * b, "A AND NOT B": lambda a, b: a * (1 - b)}


def labels_of(image):
    words = {word.strip(".,\"'!").lower() for sentence in image["sentences"] for word in sentence["raw"].split()}
    return {label for label, forms in LABELS.items() if words & set(forms.split())}


def judged(ranking, relevant):
    """Average precision, and the share of right ones among the first ten."""
    hits, total = 0, 0.0
    for rank, name in enumerate(ranking, 1):
        if name in relevant:
            hits += 1
            total += hits / rank
    return total / len(relevant), sum(name in relevant for name in ranking[:10]) / 10


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tombolo", type=Path, required=True)
    parser.add_argument("--flickr8k", type=Path, required=True)
    parser.add_argument("--model", default="photo-starter")
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

        @functools.cache
        def ranking(*query):
            command = [tombolo, "search", *query, "--library", library, "--top", str(len(images)), "-0", "--exact"]
            found = subprocess.run(command, check=True, capture_output=True).stdout.decode()
            names = [Path(path).name for path in found.split("\0") if path]
            return [name for name in names if not any(name in part for part in query)]

        @functools.cache
        def probabilities(word):
            command = [tombolo, "search", word, "--library", library, "--top", str(len(images)), "--json", "--exact"]
            found = subprocess.run(command, check=True, capture_output=True).stdout.decode()
            return {Path(hit["path"]).name: hit["probability"] for hit in map(json.loads, found.splitlines())}

        def by_product(product, a, b):
            a, b = probabilities(a), probabilities(b)
            return sorted(a, key=lambda name: -product(a[name], b[name]))

        def row(kind, pairs, ways):
            cells = []
            for way in ways:
                scores = [judged(way(a, b), wanted) for a, b, wanted in pairs]
                cells.append(" / ".join(f"{sum(part) / len(part):.3f}" for part in zip(*scores)))
            print(f"| {kind} | {len(pairs)} | {' | '.join(cells)} |", flush=True)

        def ranked(way):
            return lambda a, b: ranking(*way(a, b))

        print(f"model {arguments.model}: mean average precision / right among the first ten, means over pairs of labels\n")
        print("| set | pairs | expression | arithmetic | sentence | A alone | product |\n|---|---|---|---|---|---|---|")
        for kind, (pairs, ways) in sets(labels).items():
            row(kind, pairs, [*map(ranked, ways), functools.partial(by_product, PRODUCTS[kind])])
        print("\n| set | queries | expression | arithmetic | photo alone |\n|---|---|---|---|---|")
        photo = {path.name: str(path) for path in paths}
        for kind, (queries, ways) in with_photos(labels, photo).items():
            row(kind, queries, map(ranked, ways))


def photos_of(labels):
    """The photos of each label."""
    return {label: {name for name, own in labels.items() if label in own} for label in LABELS}


def with_photos(labels, photo):
    """As `sets`, A being a photo that has it."""
    of = photos_of(labels)
    asked = [(name, a, b) for a, b in itertools.permutations(LABELS, 2) if len(of[a] & of[b]) >= LEAST and len(of[a] - of[b]) >= LEAST
             for name in sorted(of[a] - of[b])[:PHOTOS]]
    alone = lambda name, b: ["--image", photo[name]]
    return {
        "photo of A AND B": ([(name, b, of[a] & of[b]) for name, a, b in asked],
                             [lambda name, b: [f'image:"{photo[name]}" AND {b}'], lambda name, b: ["--image", photo[name], "--add", b], alone]),
        "photo of A AND NOT B": ([(name, b, of[a] - of[b] - {name}) for name, a, b in asked],
                                 [lambda name, b: [f'image:"{photo[name]}" AND NOT {b}'], lambda name, b: ["--image", photo[name], "--subtract", b],
                                  alone]),
    }


def sets(labels):
    """For each kind of set its pairs, each with the photos that belong to it, and the ways to ask for it."""
    of = photos_of(labels)
    pairs, ordered = list(itertools.combinations(LABELS, 2)), itertools.permutations(LABELS, 2)
    both = {pair: of[pair[0]] & of[pair[1]] for pair in itertools.permutations(LABELS, 2)}
    alone = lambda a, b: [a]
    return {
        "A AND B": ([(a, b, both[a, b]) for a, b in pairs if len(both[a, b]) >= LEAST],
                    [lambda a, b: [f"{a} AND {b}"], lambda a, b: [a, "--add", b], lambda a, b: [f"{a} and {b}"], alone]),
        "A OR B": ([(a, b, of[a] | of[b]) for a, b in pairs if len(both[a, b]) < LEAST],
                   [lambda a, b: [f"{a} OR {b}"], lambda a, b: [a, "--add", b], lambda a, b: [f"{a} or {b}"], alone]),
        "A AND NOT B": ([(a, b, of[a] - of[b]) for a, b in ordered if len(both[a, b]) >= LEAST and len(of[a] - of[b]) >= LEAST],
                        [lambda a, b: [f"{a} AND NOT {b}"], lambda a, b: [a, "--subtract", b], lambda a, b: [f"{a} without {b}"], alone]),
    }


if __name__ == "__main__":
    main()
