"""FAISS' flat index over a million vectors, 20 queries one by one: `python search_1m_single.py CACHE MODELS faiss`."""

import numpy as np
import search
import worker

SEARCHES = 20

index, queries = search.flat()
worker.serve(lambda: np.concatenate([index.search(queries[i : i + 1], search.TOP)[0] for i in range(SEARCHES)]))
