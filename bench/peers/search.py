"""The vectors of search_1m_*: the first million rows of base.npy to look through, the last thousand to look for."""

import sys
from pathlib import Path

import faiss
import numpy as np
import worker

ROWS, TOP = 1_000_000, 10


def flat():
    faiss.omp_set_num_threads(worker.THREADS)
    base = np.load(Path(sys.argv[1]) / "base.npy", mmap_mode="r")
    index = faiss.IndexFlatIP(base.shape[1])
    for start in range(0, ROWS, 50_000):
        index.add(np.ascontiguousarray(base[start : start + 50_000]))
    return index, np.ascontiguousarray(base[ROWS:])
