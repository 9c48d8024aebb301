"""Golden files for the reader of PyTorch checkpoints.

Reference: torch 2.15.0; seed 1; values are compared exactly.

    python parity/pth/make.py

writes
    legacy.pth             a state_dict in the serialisation from before the zip form: several types, a transposed and a strided
                           view, two tensors in one storage, a scalar, an empty tensor, a parameter and a batch-norm counter
    zip.pth                the same in the zip form
    expected.safetensors   the tensors, contiguous, as float32
"""

from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent

if __name__ == "__main__":
    torch.manual_seed(1)
    shared = torch.randn(4, 6)
    state = OrderedDict(
        [
            ("float", torch.randn(2, 3)),
            ("double", torch.randn(5, dtype=torch.float64)),
            ("half", torch.randn(3, 2).half()),
            ("bfloat", torch.randn(7).bfloat16()),
            ("long", torch.tensor([[1, -2], [3, 1 << 20]])),
            ("int", torch.tensor([5, -6], dtype=torch.int32)),
            ("byte", torch.tensor([0, 255], dtype=torch.uint8)),
            ("bool", torch.tensor([True, False, True])),
            ("transposed", torch.randn(3, 5).t()),
            ("strided", torch.randn(6, 8)[1::2, ::3]),
            ("shared_rows", shared[1:3]),
            ("shared_column", shared[:, 2]),
            ("scalar", torch.tensor(2.5)),
            ("empty", torch.zeros(0, 3)),
            ("parameter", torch.nn.Parameter(torch.randn(2, 2))),
            ("bn.num_batches_tracked", torch.tensor(7)),
        ]
    )
    # As nn.Module.state_dict() leaves it: an attribute beside the entries.
    state._metadata = OrderedDict([("", {"version": 1})])
    torch.save(state, HERE / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(state, HERE / "zip.pth")
    save_file({k: v.detach().float().contiguous().clone() for k, v in state.items()}, HERE / "expected.safetensors")
