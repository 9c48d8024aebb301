"""JPEG files to vectors: `python photos_end_to_end.py CACHE MODELS pytorch|onnxruntime`, both fed by PyTorch's DataLoader."""

import sys
from pathlib import Path

import numpy as np
import worker

cache, models, peer = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
torch = worker.torch_threads()
from PIL import Image

BATCH = 16
paths = sorted((cache / "photos").iterdir())


class Photos(torch.utils.data.Dataset):
    def __len__(self):
        return len(paths)

    def __getitem__(self, index):
        photo = Image.open(paths[index]).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
        return torch.from_numpy((np.asarray(photo, np.float32) - 127) / 128).permute(2, 0, 1)


if peer == "onnxruntime":
    session = worker.session(cache / "lite0.onnx")
    forward = lambda batch: session.run(None, {"input": batch.contiguous().numpy()})[0]
else:
    import networks

    network = networks.efficientnet(models / "efficientnet-lite0/model.pth").to(memory_format=torch.channels_last)
    forward = lambda batch: network(batch.contiguous(memory_format=torch.channels_last)).numpy()


def encode():
    loader = torch.utils.data.DataLoader(Photos(), batch_size=BATCH, num_workers=worker.THREADS)
    vectors = []
    for batch in loader:
        if peer == "onnxruntime" and len(batch) < BATCH:  # the exported graph has a fixed batch
            batch = torch.cat([batch, batch[:1].expand(BATCH - len(batch), -1, -1, -1)])
        vectors.append(forward(batch).mean((2, 3)))
    return np.concatenate(vectors)[: len(paths)]


worker.serve(encode)
