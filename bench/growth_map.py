"""Time and memory of one epoch of the map as the number of pairs grows.

    python bench/growth_map.py [PAIRS]...

Vectors are synthetic and as wide as the default towers' (1,024 and 2,816: 15.4 kB a pair); a process a size, so that
its peak of resident memory is its own.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", Path(__file__).parent.parent / "target")) / "release"


def measure(pairs):
    with tempfile.TemporaryDirectory() as empty:
        process = subprocess.Popen([TARGET / "tombolo-bench", f"grow_map:{pairs}", empty, empty], text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process.stdout.readline()
        process.stdin.write("time\n")
        process.stdin.flush()
        seconds = float(process.stdout.readline())
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1e6
        process.stdin.close()
        process.wait()
    return seconds, peak


if __name__ == "__main__":
    print("| pairs | one epoch | pairs a second | peak memory | of which vectors |")
    print("|---|---|---|---|---|")
    for pairs in [int(n) for n in sys.argv[1:]] or [10_000, 100_000, 1_000_000]:
        seconds, peak = measure(pairs)
        vectors = pairs * (1024 + 2816) * 4 / 1e9
        print(f"| {pairs:,} | {seconds:.1f} s | {pairs / seconds:,.0f} | {peak:.2f} GB | {vectors:.2f} GB |", flush=True)
