"""Contestants of one row: processes that have loaded everything and take turns at the same work."""

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np


class Contestant:
    """A process that speaks the protocol of peers/worker.py."""

    def __init__(self, argv, environment):
        self.argv = [str(part) for part in argv]
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            self.argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True
        )
        self.expect("ready")

    def answer(self):
        answer = self.process.stdout.readline().strip()
        if not answer:
            self.process.wait()
            self.errors.seek(0)
            raise RuntimeError(f"{' '.join(self.argv)}: {self.errors.read()[-2000:]}")
        return answer

    def expect(self, wanted):
        answer = self.answer()
        if answer != wanted:
            raise RuntimeError(f"{' '.join(self.argv)}: expected {wanted}, found {answer}")

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def time(self):
        self.ask("time")
        return float(self.answer())

    def result(self, folder):
        path = Path(folder) / "result.npy"
        self.ask(f"save {path}")
        self.expect("saved")
        return np.load(path)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Command:
    """A whole process, from its start to its end, as a contestant."""

    def __init__(self, argv, environment):
        self.argv, self.environment = [str(part) for part in argv], environment

    def run(self):
        """Seconds, and the most memory that the process had resident, in bytes."""
        with tempfile.TemporaryFile("w+") as errors:
            start = time.perf_counter()
            process = subprocess.Popen(self.argv, env=self.environment, stdout=subprocess.DEVNULL, stderr=errors)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
            if status:
                errors.seek(0)
                raise RuntimeError(f"{' '.join(self.argv)}: {errors.read()[-2000:]}")
        return seconds, 1024 * usage.ru_maxrss

    def time(self):
        return self.run()[0]

    def close(self):
        pass


class Memory(Command):
    """A whole process whose figure is not its time but its peak memory, in MB. A folder named last is made anew."""

    def time(self):
        shutil.rmtree(self.argv[-1], ignore_errors=True)
        return self.run()[1] / 1e6


def take_turns(contestants, rounds, warm, pause=0.3):
    """Median seconds of each. One round goes before, not counted, unless all are `warm`. The pause lets waiting threads
    fall asleep."""
    seconds = {name: [] for name in contestants}
    for number in range(rounds if warm else rounds + 1):
        for name, contestant in contestants.items():
            time.sleep(pause)
            spent = contestant.time()
            if number or warm:
                seconds[name].append(spent)
    return {name: statistics.median(values) for name, values in seconds.items()}


def relative_error(found, expected):
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
