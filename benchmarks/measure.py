"""Measures one side of one row, in this process; prints a line of JSON."""

import json
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.rows import ROWS

# A step is repeated for about so long, or once if it takes longer.
SECONDS = 3.0


def memory(field):
    """A field of /proc/self/status in MB: `VmRSS` is now, `VmHWM` the peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {field}.")


def forget_peak():
    """Starts the peak anew: imports needed more than a small step does."""
    Path("/proc/self/clear_refs").write_text("5")


def device_clock():
    """CPU time, or wall time where an accelerator does the work."""
    from keras_attention.ops.additive import on_accelerator

    return time.perf_counter if on_accelerator() else time.process_time


def main(name, side):
    step = getattr(ROWS[name], side)()
    forget_peak()
    before = memory("VmRSS")
    step()  # compiles
    clock = device_clock()
    seconds, begin = [], time.perf_counter()
    while not seconds or time.perf_counter() - begin < SECONDS:
        start = clock()
        step()
        seconds.append(clock() - start)
    print(
        json.dumps(
            {
                "seconds": float(np.median(seconds)),
                "megabytes": memory("VmHWM") - before,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
