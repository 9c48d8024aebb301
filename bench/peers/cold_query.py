"""One query as a whole process: `python cold_query.py MODELS VECTORS TEXT` prints the ten nearest rows of a .npy file."""

import sys
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer, models

weights = str(Path(sys.argv[1]) / "all-minilm-l6-v2")
network = SentenceTransformer(
    modules=[models.Transformer(weights, max_seq_length=256), models.Pooling(384), models.Normalize()], device="cpu"
)
vectors = np.load(sys.argv[2], mmap_mode="r")
scores = vectors @ network.encode(sys.argv[3])
for rank, row in enumerate(np.argsort(-scores)[:10], 1):
    print(rank, f"{scores[row]:.3f}", row)
