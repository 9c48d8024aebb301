"""ViT-S/16 on 8 pictures: `python vit_s16.py CACHE MODELS onnxruntime|pytorch`."""

import sys
from pathlib import Path

import numpy as np
import worker

cache, peer = Path(sys.argv[1]), sys.argv[3]
pictures = np.ascontiguousarray(np.load(cache / "pictures.npy")[:8].transpose(0, 3, 1, 2))

if peer == "onnxruntime":
    session = worker.session(cache / "vit.onnx")
    worker.serve(lambda: session.run(None, {"input": pictures})[0])
else:
    torch = worker.torch_threads()
    import networks

    network = networks.vit(cache / "vit")
    pictures = torch.from_numpy(pictures)
    worker.serve(lambda: network(pictures))
