"""Annotate a catalogue's blocks on Ray: on the cores of this machine, or on a cluster.

Ray Data runs one task per block, on any free core, and reruns it elsewhere if its worker or machine is lost. The only
result of a task is the file that it writes, so the output folder is all that is needed to resume a run.
"""

import contextlib
import dataclasses
import functools
import logging
import os
import socket
import time
import warnings

from cspn_tf.bulk.worker import annotate_block
from cspn_tf.console import UserError, termination_as_interrupt
from cspn_tf.machine import num_cores

# How often Ray reruns a block after its machine or process was lost.
_MAX_RETRIES = 3
# Interval between checks of the output folder, if the driver runs on the cluster; also between checks for cores.
_POLL_SECONDS = 2.0


@contextlib.contextmanager
def connected(address, num_workers):
    """Connect to a Ray cluster, or start Ray on this machine, within the `with` block.

    Args:
        address: `auto` or `ray://host:port`, as `ray.init` takes it; None to start Ray on this machine.
        num_workers: number of cores to use if Ray is started here; None for all.

    Yields:
        The number of cores of the cluster.

    Raises:
        UserError: there is no cluster at the address, or it runs a different version of Ray or Python.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray's 30 seconds are too few where other processes use all cores.
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "120")
    # By default workers run at the lowest priority, and get nothing done there.
    os.environ.setdefault("RAY_worker_niceness", "0")
    import ray

    _check_reachable(address)
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address is None:
        # Photos do not pass through Ray's object store.
        quiet |= {
            "num_cpus": num_workers or num_cores(),
            "include_dashboard": False,
            "object_store_memory": 100_000_000,
        }
    try:
        ray.init(address or "local", **quiet)
    except Exception as error:  # Ray raises many exception classes
        place = f" at {address}" if address else ""
        hint = "; one with a token needs RAY_AUTH_MODE=token" if place.startswith(" at ray://") else ""
        raise UserError(f"no Ray cluster can be used{place}: {error}{hint}") from error
    try:
        with termination_as_interrupt():  # `ray.init` has replaced the handler
            yield _wait_for_cores()
    finally:
        ray.shutdown()


def _wait_for_cores() -> int:
    """Return the number of cores of the cluster; wait until a machine with cores has joined."""
    import ray

    has_said = False
    while not (cores := int(ray.cluster_resources().get("CPU", 0))):
        if not has_said:
            print("waiting for a machine with cores to join the cluster", flush=True)
        has_said = True
        time.sleep(_POLL_SECONDS)
    return cores


def _check_reachable(address):
    """Check that an address with a port accepts connections; Ray itself would retry for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise UserError(f"no Ray cluster can be used at {address}: {error.strerror or error}") from error


@dataclasses.dataclass(frozen=True)
class Done:
    """Work done by one call of `annotate`.

    Attributes:
        num_photos: photos annotated.
        seconds: wall-clock time.
        core_seconds: time that the workers spent on blocks, summed, without startup and loading the model.
    """

    num_photos: int = 0
    seconds: float = 0.0
    core_seconds: float = 0.0


def annotate(blocks, files, *, num_workers, batch_size, progress) -> Done:
    """Annotate the unfinished blocks; requires a connection, see `connected`.

    Args:
        blocks: `cspn_tf.bulk.blocks.Blocks`.
        files: `cspn_tf.bulk.worker.ModelFiles`.
        num_workers: number of blocks processed at a time, one core each; None for all cores of the cluster, including
            those that join later.
        batch_size: photos per pass through the networks.
        progress: called with the number of photos done in this call and the number that it has to do.

    Raises:
        UserError: a worker failed, or blocks were lost on every attempt.
    """
    import ray

    options = {"num_workers": num_workers, "batch_size": batch_size}
    if not ray.util.client.ray.is_connected():
        return _annotate(blocks, files, **options, progress=progress)
    # With a `ray://` connection, Ray Data must run on the cluster.
    before = blocks.finished()
    num_before = sum(map(blocks.size_of, before))
    try:
        remote = ray.remote(num_cpus=0, max_retries=0)(_annotate).remote(blocks, files, **options)
        while not ray.wait([remote], timeout=_POLL_SECONDS)[0]:
            if finished := blocks.finished() - before:
                progress(sum(map(blocks.size_of, finished)), blocks.num_photos - num_before)
        return ray.get(remote)
    except (ray.exceptions.RayError, ConnectionError) as error:
        raise UserError(f"{getattr(error, 'cause', None) or error}") from error


def _annotate(blocks, files, *, num_workers, batch_size, progress=None) -> Done:
    """Annotate from a process of the cluster; see `annotate`."""
    finished = blocks.finished()
    left = [block for block in range(blocks.num_blocks) if block not in finished]
    num_left = sum(map(blocks.size_of, left))
    done, start = Done(), time.monotonic()
    for answer in _answers(blocks, left, files, num_workers, batch_size):
        if answer["error"]:
            raise UserError(answer["error"])
        done = Done(
            done.num_photos + answer["num_photos"], time.monotonic() - start, done.core_seconds + answer["seconds"]
        )
        if progress:
            progress(done.num_photos, num_left)
    lost = sorted(set(left) - blocks.finished())
    if lost:
        raise UserError(
            f"{len(lost)} blocks were lost, the first is {lost[0]}: run the command again; if they are lost again, "
            "see Ray's log, and check that all machines have the same version of cspn-tf[bulk]"
        )
    return done


def _answers(blocks, left, files, num_workers, batch_size):
    """Yield a dict for each block as it finishes: num_photos, seconds, and error, one line or empty."""
    import ray

    if not left:
        return
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # lost blocks are reported at the end, when all others are finished
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    # Tasks, not actors: the task of a lost machine reruns on any other machine, while an actor waits for its own.
    tasks = ray.data.TaskPoolStrategy(min(num_workers, len(left)) if num_workers else None)
    task = functools.partial(_annotate_one, blocks, files, batch_size)
    with warnings.catch_warnings():
        # Deprecated, but Ray has no other limit on retries: a photo that kills its process would be retried forever.
        warnings.simplefilter("ignore", ray.util.annotations.RayDeprecationWarning)
        dataset = ray.data.from_items([{"block": block} for block in left], override_num_blocks=len(left)).map(
            task, num_cpus=1, compute=tasks, max_retries=_MAX_RETRIES
        )
    yield from dataset.iter_rows()


def _annotate_one(blocks, files, batch_size, row):
    """Annotate the block of a row; the function that Ray Data maps over rows."""
    block = int(row["block"])
    try:
        num_photos, seconds = annotate_block(blocks, block, files, batch_size=batch_size, num_threads=1)
    except UserError as error:
        return {"num_photos": 0, "seconds": 0.0, "error": str(error)}
    except Exception as error:  # otherwise Ray reports it in many lines, or skips the block
        return {"num_photos": 0, "seconds": 0.0, "error": f"block {block}: {type(error).__name__}: {error}"}
    return {"num_photos": num_photos, "seconds": seconds, "error": ""}
