"""Makes wordnet.tsv.gz, the lexicon behind `synonym_noun`, `synonym_adj` and the shuffles of nouns and adjectives.

Source: WordNet 3.0 as Debian's package wordnet-base 1:3.0-37 has it (its licence: LICENSE, beside this script).

    python make.py FOLDER_WITH_index.noun_AND_THE_REST

Each line is a word of lower-case letters and hyphens, then tab-separated:
    counts      the parts of speech n, v, a (adjective) and r (adverb) that it has, each with how often it was tagged so in WordNet's
                corpora (nothing for never): "n42v2"
    nouns       the other words of its most frequent sense as a noun, comma-separated, "_" for a space
    adjectives  the same as an adjective
    irregular   the words that it is an irregular form of, each behind its part of speech: "nman"
Words with capitals, digits or dots are left out. The file is the same whenever it is made.
"""

import collections
import gzip
import re
import sys
from pathlib import Path

PARTS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
PART_OF_NUMBER = {"1": "n", "2": "v", "3": "a", "4": "r", "5": "a"}


def index(folder, part):
    """Each word and the place of its most frequent sense."""
    out = {}
    for line in (folder / f"index.{PARTS[part]}").read_text().splitlines():
        if not line.startswith(" "):
            fields = line.split()
            out[fields[0]] = fields[4 + int(fields[3]) + 2]
    return out


def senses(folder, part):
    """Each sense's words by its place."""
    out = {}
    for line in (folder / f"data.{PARTS[part]}").read_text().splitlines():
        if not line.startswith(" "):
            fields = line.split(" ")
            count = int(fields[3], 16)
            out[fields[0]] = [re.sub(r"\(\w+\)$", "", fields[4 + 2 * i]) for i in range(count)]
    return out


def main(folder):
    counts, irregular = collections.Counter(), collections.defaultdict(list)
    for line in (folder / "cntlist.rev").read_text().splitlines():
        key, _, count = line.split()
        word, sense = key.split("%")
        counts[word, PART_OF_NUMBER[sense[0]]] += int(count)
    for part in PARTS:
        for line in (folder / f"{PARTS[part]}.exc").read_text().splitlines():
            form, *words = line.split()
            irregular[form] += [part + word for word in words if re.fullmatch(r"[a-z-]+", word)]
    places = {part: index(folder, part) for part in PARTS}
    of_place = {part: senses(folder, part) for part in "na"}
    lines = []
    for word in sorted({word for part in PARTS for word in places[part]} | set(irregular)):
        if not re.fullmatch(r"[a-z][a-z-]*", word):
            continue
        tagged = "".join(f"{part}{counts[word, part] or ''}" for part in PARTS if word in places[part])
        synonyms = []
        for part in "na":
            members = of_place[part].get(places[part].get(word), [])
            others = [m for m in members if m != word and re.fullmatch(r"[a-z_-]+", m)]
            synonyms.append(",".join(others))
        lines.append("\t".join([word, tagged, *synonyms, ",".join(irregular[word])]).rstrip("\t"))
    text = "\n".join(lines).encode()
    Path(__file__).with_name("wordnet.tsv.gz").write_bytes(gzip.compress(text, 9, mtime=0))
    print(f"{len(lines)} words, {len(text)} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
