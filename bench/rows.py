"""The rows of the table: the work, who does it, and how a time becomes a figure."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Optional

import contest

HERE = Path(__file__).parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target")) / "release"

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
    flops: Optional[float] = None
    bytes: Optional[float] = None
    needs_flickr8k: bool = False
    # The peers' script, where it is not named like the row.
    peer_script: Optional[str] = None
    # What the work NAME_recall must find, at least.
    recall: Optional[float] = None
    kind: type = contest.Contestant
    arguments: Optional[Callable] = field(default=None)

    def contestants(self, settings):
        if self.arguments:
            return self.arguments(settings)
        script = self.peer_script or self.name
        return {"ours": settings.ours(self.name)} | {peer: settings.peer(script, peer) for peer in self.peers}

    def share(self, seconds, limits):
        """The time that the work would take at the machine's limit, over the time it took."""
        if self.flops:
            return self.flops / limits["gemm"] / seconds
        if self.bytes:
            return self.bytes / limits["bandwidth"] / seconds
        return None


def rate(amount):
    return lambda seconds: amount / seconds


def milliseconds(seconds):
    return 1000 * seconds


def milliseconds_of(searches):
    return lambda seconds: 1000 * seconds / searches


ROWS = [
    # 483,000 tokens; a token passes 10.6 M weights.
    Row("minilm_captions", "35,000 captions to vectors, all-MiniLM-L6-v2", "texts/s", rate(35_000),
        ["onnxruntime", "sentence-transformers"], tolerance=1e-3, rounds=2, needs_flickr8k=True),
    Row("efficientnet_lite0", "16 pictures at 224", "pictures/s", rate(16), ["onnxruntime", "pytorch"], tolerance=1e-3,
        flops=16 * 2 * 0.399e9),
    Row("vit_s16", "ViT-S/16, 8 pictures at 224", "pictures/s", rate(8), ["onnxruntime", "pytorch"], tolerance=1e-3,
        flops=8 * 2 * 4.61e9),
    # A time is that of 20 searches; a search reads a million rows of 512 halves once, or of 512 bytes.
    Row("search_1m_single", "a million vectors of 512, exact, one query, top 10", "ms/query", milliseconds_of(20),
        ["faiss"], tolerance=1e-3, rounds=5, bytes=20 * 1.024e9),
    Row("search_1m_int8", "the same in int8, scored again from f16", "ms/query", milliseconds_of(20), ["faiss"],
        tolerance=1e-3, rounds=5, bytes=20 * 0.516e9, peer_script="search_1m_single", recall=0.999),
    Row("search_1m_batch", "the same, exact, 1,000 queries at once", "queries/s", rate(1_000), ["faiss"], tolerance=1e-3,
        rounds=3, flops=2 * 1e9 * 512),
]
