"""Measures one side of one row, in this process; prints a line of JSON."""

import json
import sys
import time
from pathlib import Path

import keras
import numpy as np
from keras import ops

from benchmarks.rows import ROWS, SCALING
from benchmarks.steps import forward, normal
from keras_attention.ops.additive import on_accelerator

# A step is repeated for about so long, or once if it takes longer; those of
# the many rows of the exponents, and those of a GPU, for less.
SECONDS, FEWER_SECONDS = 3.0, 1.0


class Memory:
    """The peak of the memory in use, in MB, beyond what is in use now."""

    def __init__(self):
        self.device = on_accelerator()
        if not self.device:
            # Imports needed more than a small step does: forget that peak.
            Path("/proc/self/clear_refs").write_text("5")
        elif keras.backend.backend() == "torch":
            import torch

            torch.cuda.reset_peak_memory_stats()
        self.before = self.read()[0]

    def peak(self):
        return self.read()[1] - self.before

    def read(self):
        """Megabytes in use now and at most."""
        if not self.device:
            lines = Path("/proc/self/status").read_text().splitlines()
            status = dict(line.split(":", 1) for line in lines)
            return [
                int(status[name].split()[0]) / 1024
                for name in ("VmRSS", "VmHWM")
            ]
        return [x / 2**20 for x in device_memory()]


def device_memory():
    """Bytes of the accelerator in use now and at most."""
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        cuda = torch.cuda
        return cuda.memory_allocated(), cuda.max_memory_allocated()
    if backend == "jax":
        import jax

        stats = jax.local_devices()[0].memory_stats()
        return stats["bytes_in_use"], stats["peak_bytes_in_use"]
    import tensorflow as tf

    stats = tf.config.experimental.get_memory_info("GPU:0")
    return stats["current"], stats["peak"]


def measure(step, clock, limit=SECONDS):
    """The seconds of as many steps as fit into the limit, at least one."""
    if hasattr(step, "times"):  # a step that has to be timed by itself
        (first,) = step.times(clock, 1)
        if first >= limit:
            return [first]
        steps = min(100, int(limit / max(first, 1e-3)))
        return step.times(clock, steps)
    seconds, begin = [], time.perf_counter()
    while not seconds or time.perf_counter() - begin < limit:
        start = clock()
        step()
        seconds.append(clock() - start)
    return seconds


def product_rate(size=8192, times=8):
    """FLOP/s of products of bfloat16 matrices: what there is to reach.

    The numbers are random as a model's are: zeros would take less power.
    """
    x, y = (
        ops.convert_to_tensor(normal(size, size, seed=seed), "bfloat16")
        for seed in (0, 1)
    )

    def products(x, y):
        for _ in range(times):
            x = ops.matmul(x, y) * size**-0.5
        return ops.max(x)  # one number to be waited for

    step = forward(products, [x, y])
    step()
    seconds = measure(step, time.perf_counter, FEWER_SECONDS)
    return times * 2 * size**3 / float(np.median(seconds))


def main(name, side, device):
    gpu = on_accelerator()
    if gpu != (device == "gpu"):
        raise SystemExit(
            f"{keras.backend.backend()} must run on a {device}. Received: "
            f"{'an accelerator' if gpu else 'none'}."
        )
    row = {**ROWS, **SCALING}[name]
    step = getattr(row, side)()
    memory = Memory()
    step()  # compiles
    # CPU time, or wall time where an accelerator does the work.
    clock = time.perf_counter if gpu else time.process_time
    limit = FEWER_SECONDS if name in SCALING or gpu else SECONDS
    seconds = measure(step, clock, limit)
    found = {"seconds": float(np.median(seconds)), "megabytes": memory.peak()}
    if row.flop:
        found["product"] = product_rate()
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
