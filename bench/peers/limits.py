"""The machine's limits: `python limits.py CACHE MODELS gemm|bandwidth`, one pass a request."""

import sys

import worker

torch = worker.torch_threads()
if sys.argv[3] == "gemm":
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    worker.serve(lambda: torch.mm(a, b))
else:
    values = torch.ones(2**28)
    worker.serve(lambda: values.sum())
