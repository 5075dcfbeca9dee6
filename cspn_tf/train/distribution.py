"""Training on several devices or machines: the share of the data for this process, and the process that saves.

`--strategy multi-worker` is TensorFlow's `MultiWorkerMirroredStrategy`: the same command runs on every machine, with
`TF_CONFIG` set as TensorFlow defines it. Each process computes the gradients of its own share of every batch, and all
processes apply the mean, so that W processes with batches of B train like one process with batches of W x B. Batch
normalisation uses the statistics of the whole batch. The first process, the chief, validates and saves; `--out` must be
shared by all.
"""

import contextlib
import dataclasses
import functools
import json
import os
import re
from typing import Any

from cspn_tf.console import CallError, UserError

STRATEGIES = ("none", "mirrored", "multi-worker")


@dataclasses.dataclass(frozen=True)
class Distribution:
    """Role of this process in distributed training.

    Attributes:
        strategy: the `tf.distribute` strategy, or None.
        index: rank of this process, from 0; the chief is 0.
        num_workers: world size, the number of processes.
    """

    strategy: Any = None
    index: int = 0
    num_workers: int = 1

    @property
    def is_chief(self) -> bool:
        """Whether this process validates and saves."""
        return self.index == 0

    def scope(self):
        """Return the context to build and compile the model in."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    def prepare(self, model) -> None:
        """Synchronise a model's batch normalisation: use the statistics of the batches of all processes."""
        import keras

        if self.num_workers > 1:
            for layer in model._flatten_layers():
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.synchronized, layer.fused = True, False

    def feed(self, dataset):
        """Return this process's batches as `model.fit` takes them."""
        if self.num_workers == 1:
            return dataset
        return self.strategy.distribute_datasets_from_function(lambda _: dataset)


@functools.cache
def distribution_of(strategy: str) -> Distribution:
    """Return the distribution for a value of `--strategy`. Call it before TensorFlow has run any operation.

    Raises:
        CallError: `TF_CONFIG` is missing or wrong for multi-worker.
    """
    import tensorflow as tf

    if strategy == "none":
        return Distribution()
    if strategy == "mirrored":
        return Distribution(tf.distribute.MirroredStrategy())
    index, num_workers = _parse_tf_config(os.environ.get("TF_CONFIG"))
    if len(tf.config.list_physical_devices("GPU")) > 1:
        raise CallError("--strategy multi-worker needs one process per GPU: set CUDA_VISIBLE_DEVICES")
    try:
        return Distribution(tf.distribute.MultiWorkerMirroredStrategy(), index, num_workers)
    except tf.errors.OpError as error:
        raise UserError(f"worker {index} of {num_workers} cannot start at its address in TF_CONFIG: {error.message}")


def _parse_tf_config(text) -> tuple:
    """Return this worker's rank and the world size."""
    form = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
    if not text:
        raise CallError(f"--strategy multi-worker needs the environment variable TF_CONFIG: {form}")
    try:
        config = json.loads(text)
        workers, task = config["cluster"]["worker"], config["task"]
        index = int(task["index"])
        if set(config["cluster"]) != {"worker"} or task["type"] != "worker" or not 0 <= index < len(workers):
            raise ValueError("another type of task, or an index beyond the workers")
    except (ValueError, KeyError, TypeError) as error:
        raise CallError(f"TF_CONFIG must be {form}: {type(error).__name__} {error}") from error
    return index, len(workers)


@contextlib.contextmanager
def lost_workers_reported(distribution, directory):
    """Convert the error that a lost process causes in the others to a one-line UserError.

    Raises:
        UserError: another process ended, or cannot be reached.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        own = (tf.errors.ResourceExhaustedError, tf.errors.DataLossError, tf.errors.InvalidArgumentError)
        if distribution.num_workers == 1 or isinstance(error, own):
            raise
        reason = re.sub(r"\s+", " ", error.message.splitlines()[0])[:200]
        raise UserError(
            f"worker {distribution.index} of {distribution.num_workers} stopped because another worker failed: "
            f"{reason}; restart all workers with --resume: {directory} has all finished epochs"
        ) from error
