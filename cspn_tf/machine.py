"""The machine: its description for reports of measurements, and the number of cores and threads to use."""

import os
import platform
from pathlib import Path


def describe_machine() -> dict:
    """Return the processor's name, `cpu`, and how many cores this process may use, `cores`."""
    return {"cpu": _cpu_name(), "cores": num_cores()}


def num_cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def set_threads(intra=0, inter=0) -> None:
    """Set TensorFlow's threads per operation (intra) and number of operations that run in parallel (inter).

    0 keeps TensorFlow's default. Must be called before TensorFlow runs its first operation.
    """
    import tensorflow as tf

    if intra:
        tf.config.threading.set_intra_op_parallelism_threads(intra)
    if inter:
        tf.config.threading.set_inter_op_parallelism_threads(inter)


def _cpu_name():
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()
