"""Captions to sentence vectors: `python minilm_captions.py CACHE MODELS onnxruntime|sentence-transformers`."""

import json
import sys
from pathlib import Path

import numpy as np
import worker

cache, weights, peer = Path(sys.argv[1]), Path(sys.argv[2]) / "all-minilm-l6-v2", sys.argv[3]
captions = json.loads((cache / "captions.json").read_text())
BATCH = 64


def sentence_transformers():
    worker.torch_threads()
    from sentence_transformers import SentenceTransformer, models

    tokens = models.Transformer(str(weights), max_seq_length=256)
    network = SentenceTransformer(modules=[tokens, models.Pooling(384), models.Normalize()], device="cpu")
    return lambda: network.encode(captions, batch_size=BATCH, show_progress_bar=False)


def onnxruntime():
    """Batches of one length, as far as it goes: sorted by tokens, then padded to the longest."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(weights / "tokenizer.json"))
    tokenizer.no_padding()
    session = worker.session(cache / "minilm.onnx")

    def encode():
        encoded = [encoding.ids for encoding in tokenizer.encode_batch(captions)]
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
        vectors = np.empty((len(captions), 384), np.float32)
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            ids = np.zeros((len(chosen), len(encoded[chosen[-1]])), np.int64)
            mask = np.zeros_like(ids)
            for row, index in enumerate(chosen):
                ids[row, : len(encoded[index])] = encoded[index]
                mask[row, : len(encoded[index])] = 1
            tokens = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
            sums = (tokens * mask[:, :, None]).sum(1)
            vectors[chosen] = sums / np.linalg.norm(sums, axis=1, keepdims=True)
        return vectors

    return encode


worker.serve(onnxruntime() if peer == "onnxruntime" else sentence_transformers())
