"""Golden files for the gated recurrent unit.

Reference: torch 2.15.0 (torch.nn.GRU over a packed sequence); float32 on the CPU; seed 1.
Tolerance: relative error 1e-4 (norm of the difference over norm of the expected), of states and of gradients.

    python parity/gru/make.py

writes
    model.safetensors      a seeded random GRU of one layer in both directions, 6 wide, with a state of 8
    expected.safetensors   input [18, 6]: sequences of 5, 1, 9 and 3 rows, one after the other; states [18, 16], both
                           directions side by side; last [4, 8], the mean of both states after all rows of each sequence;
                           upstream [18, 16], and the gradients of sum(states * upstream): gradient.input and gradient.NAME
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

HERE = Path(__file__).parent
LENGTHS = [5, 1, 9, 3]


def main():
    torch.manual_seed(1)
    gru = torch.nn.GRU(6, 8, bidirectional=True)
    rows = torch.randn(sum(LENGTHS), 6, requires_grad=True)
    states, last = gru(pack_sequence(rows.split(LENGTHS), enforce_sorted=False))
    padded, lengths = pad_packed_sequence(states, batch_first=True)
    states = torch.cat([sequence[:length] for sequence, length in zip(padded, lengths)])
    upstream = torch.randn_like(states)
    (states * upstream).sum().backward()
    expected = {"input": rows, "states": states, "last": last.mean(0), "upstream": upstream}
    expected["gradient.input"] = rows.grad
    expected |= {f"gradient.{name}": value.grad for name, value in gru.named_parameters()}
    save_file({k: v.contiguous() for k, v in gru.state_dict().items()}, HERE / "model.safetensors", {"format": "pt"})
    save_file({k: v.detach().contiguous() for k, v in expected.items()}, HERE / "expected.safetensors")


if __name__ == "__main__":
    main()
