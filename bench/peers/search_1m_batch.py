"""FAISS' flat index over a million vectors, 1,000 queries at once: `python search_1m_batch.py CACHE MODELS faiss`."""

import search
import worker

index, queries = search.flat()
worker.serve(lambda: index.search(queries, search.TOP)[0])
