"""EfficientNet-Lite0 on 16 pictures: `python efficientnet_lite0.py CACHE MODELS onnxruntime|pytorch`."""

import sys
from pathlib import Path

import numpy as np
import worker

cache, models, peer = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
pictures = np.ascontiguousarray(np.load(cache / "pictures.npy").transpose(0, 3, 1, 2))

if peer == "onnxruntime":
    session = worker.session(cache / "lite0.onnx")
    run = lambda: session.run(None, {"input": pictures})[0]
else:
    torch = worker.torch_threads()
    import networks

    network = networks.efficientnet(models / "efficientnet-lite0/model.pth").to(memory_format=torch.channels_last)
    pictures = torch.from_numpy(pictures).to(memory_format=torch.channels_last)
    run = lambda: network(pictures)

# What is compared has its channels last, as ours; that is not part of the work.
worker.serve(run, lambda: np.asarray(run()).transpose(0, 2, 3, 1).reshape(16, 49, 1280))
