"""The protocol between run.py and a contestant, a process that has loaded what it needs and waits.

It prints `ready`. Then each line on its standard input asks for one thing and gets one line:
`time` runs the work once and answers the seconds; `save FILE` writes the result of the work to a .npy file and answers
`saved`. Contestants of a row take turns, so that what else the machine does falls on all of them.
"""

import os
import sys
import time

import numpy as np

THREADS = int(os.environ["BENCH_THREADS"])


# What libraries print goes to standard error.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def serve(work, result=None):
    """`result` is what is saved, where it is not the result of the work that is timed."""
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "time":
            start = time.perf_counter()
            work()
            print(time.perf_counter() - start, file=answers, flush=True)
        elif command == "save":
            np.save(argument, np.asarray((result or work)()))
            print("saved", file=answers, flush=True)


def torch_threads():
    import torch

    torch.set_num_threads(THREADS)
    torch.set_grad_enabled(False)
    return torch


def session(path):
    """An ONNX Runtime session on the CPU with all graph optimisations."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
