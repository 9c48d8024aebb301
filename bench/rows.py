"""The rows of the table: the work, who does it, and how a time becomes a figure."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Optional

import contest

HERE = Path(__file__).parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target")) / "release"

# 500,443 tokens through six layers, and attention among the tokens of each caption.
MINILM_FLOPS = 6 * (500_443 * 2 * (4 * 384**2 + 2 * 384 * 1536) + 7_728_305 * 4 * 384)

LIMIT_AMOUNTS = {"gemm": 2 * 2048**3, "bandwidth": 2**30}


class Settings:
    """Where things lie, and the environment that every contestant gets."""

    def __init__(self, cache, models, flickr8k):
        self.cache, self.models, self.flickr8k = cache, models, flickr8k
        self.threads = int(os.environ.get("BENCH_THREADS", os.cpu_count()))
        threads = {name: str(self.threads) for name in
                   ("BENCH_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")}
        offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
        self.environment = os.environ | threads | offline | {"TOMBOLO_HOME": str(models.parent)}

    tombolo = TARGET / "tombolo"

    def ours(self, work, *arguments):
        return [TARGET / "tombolo-bench", work, self.cache, self.models, *arguments]

    def peer(self, work, peer):
        return [sys.executable, HERE / "peers" / f"{work}.py", self.cache, self.models, peer]


@dataclass
class Row:
    name: str
    work: str
    unit: str
    figure: Callable[[float], float]
    peers: list[str]
    tolerance: Optional[float] = None
    rounds: int = 7
    # Whether no round is needed before those that count; comparing the results is such a round.
    warm: bool = False
    flops: Optional[float] = None
    bytes: Optional[float] = None
    needs_flickr8k: bool = False
    # The peers' script, where it is not named like the row.
    peer_script: Optional[str] = None
    # What the work NAME_recall must find, at least.
    recall: Optional[float] = None
    kind: type = contest.Contestant
    # Our own work that bounds this one; the share of the limit is that of its rate.
    bound: Optional[str] = None
    # Gives the contestants' command lines where they are not workers called as the row.
    commands: Optional[Callable] = field(default=None)

    def contestants(self, settings):
        if self.commands:
            return self.commands(settings)
        bound = {"bound": settings.ours(self.bound)} if self.bound else {}
        peers = {peer: settings.peer(self.peer_script or self.name, peer) for peer in self.peers}
        return {"ours": settings.ours(self.name)} | peers | bound

    def share(self, seconds, limits):
        """The time that the work would take at the machine's limit, over the time it took."""
        if self.bound:
            return seconds["bound"] / seconds["ours"]
        if self.flops:
            return self.flops / limits["gemm"] / seconds["ours"]
        if self.bytes:
            return self.bytes / limits["bandwidth"] / seconds["ours"]
        return None


def rate(amount):
    return lambda seconds: amount / seconds


def milliseconds(seconds):
    return 1000 * seconds


def milliseconds_of(searches):
    return lambda seconds: 1000 * seconds / searches


def cold_query(settings):
    query = "two dogs playing in the snow"
    vectors = settings.cache / "query-vectors.npy"
    ours = [settings.tombolo, "search", query, "--library", settings.cache / "library", "--offline"]
    peer = [sys.executable, HERE / "peers/cold_query.py", settings.models, vectors, query]
    return {"ours": ours, "sentence-transformers": peer}


def index(settings):
    photos, model = settings.flickr8k / "images", settings.cache / "model"
    return {"ours": [settings.tombolo, "index", photos, "--model", model, "--offline", "--library",
                     settings.cache / "library-memory"]}


ROWS = [
    Row("minilm_captions", "35,000 captions to vectors, all-MiniLM-L6-v2", "texts/s", rate(35_000),
        ["onnxruntime", "sentence-transformers"], tolerance=1e-3, rounds=1, needs_flickr8k=True, flops=MINILM_FLOPS),
    Row("efficientnet_lite0", "16 pictures at 224", "pictures/s", rate(16), ["onnxruntime", "pytorch"], tolerance=1e-3,
        flops=16 * 2 * 0.399e9),
    Row("vit_s16", "ViT-S/16, 8 pictures at 224", "pictures/s", rate(8), ["onnxruntime", "pytorch"], tolerance=1e-3,
        flops=8 * 2 * 4.61e9),
    # JPEG decoders differ by a grey level here and there.
    Row("photos_end_to_end", "1,000 JPEG files to vectors, EfficientNet-Lite0", "photos/s", rate(1_000),
        ["pytorch", "onnxruntime"], tolerance=3e-2, rounds=3, needs_flickr8k=True, bound="photos_encode_only"),
    Row("cold_query", "`tombolo search TEXT`, whole process, library of 7,000 photos", "ms", milliseconds, [],
        needs_flickr8k=True, kind=contest.Command, commands=cold_query),
    Row("peak_memory_index", "`tombolo index`, 7,000 photos", "MB resident", lambda megabytes: megabytes, [], rounds=1,
        warm=True, needs_flickr8k=True, kind=contest.Memory, commands=index),
    # 7 M weights, and 20 steps of 1,500 pairs; the result compared is the loss of five steps without dropout.
    Row("train_map", "one epoch of the map, 30,000 pairs", "pairs/s", rate(30_000), ["pytorch"], tolerance=1e-3, rounds=5),
    # 118 steps of 256 texts; the result compared is the loss of five steps on whole texts.
    Row("train_tower", "one epoch of the text tower, 30,000 texts of cached features", "texts/s", rate(30_000), ["pytorch"],
        tolerance=1e-3, rounds=1),
    # A time is that of 20 searches; a search reads a million rows of 512 halves once, or of 512 bytes.
    Row("search_1m_single", "a million vectors of 512, exact, one query, top 10", "ms/query", milliseconds_of(20),
        ["faiss"], tolerance=1e-3, rounds=5, bytes=20 * 1.024e9),
    Row("search_1m_int8", "the same in int8, scored again from f16", "ms/query", milliseconds_of(20), ["faiss"],
        tolerance=1e-3, rounds=5, bytes=20 * 0.516e9, peer_script="search_1m_single", recall=0.999),
    Row("search_1m_batch", "the same, exact, 1,000 queries at once", "queries/s", rate(1_000), ["faiss"], tolerance=1e-3,
        rounds=3, flops=2 * 1e9 * 512),
]
