"""Annotate one block of a catalogue: read its photos, predict, write a Parquet file.

Runs in Ray's worker processes; each loads the model once. Photos are decoded in the model's graph.
"""

import atexit
import dataclasses
import datetime
import functools
import hashlib
import itertools
import os
import posixpath
import shutil
import tempfile
import time
from pathlib import Path

from cspn_tf import __version__
from cspn_tf.bulk import table
from cspn_tf.bulk.blocks import Blocks
from cspn_tf.bulk.catalogue import read_photos
from cspn_tf.bulk.stores import open_store
from cspn_tf.console import CallError, UserError
from cspn_tf.inference.versions import version_directory
from cspn_tf.models.checkpoints import SHIPPED, SHIPPED_PAIR, is_pair
from cspn_tf.quiet import quiet_tensorflow
from cspn_tf.result import STATUS_UNREADABLE, Result


@dataclasses.dataclass(frozen=True)
class ModelFiles:
    """A model that every worker can load.

    Attributes:
        source: a path that is valid on every machine, a URI that fsspec opens, or `shipped`.
        version: name of the version directory of a SavedModel, else the version of this package.
        fingerprint: SHA-256 of all files, to verify that every worker loads the same model.
    """

    source: str
    version: str
    fingerprint: str


def find_model(model=None) -> ModelFiles:
    """Describe a model; if it has several exported versions, the highest at the time of the call.

    Args:
        model: as for `cspn_tf.load`, or a URI; None for the one in the package.

    Raises:
        UserError: there is none.
    """
    source = SHIPPED if model in (None, SHIPPED) else str(model).rstrip("/")
    if source != SHIPPED and "://" not in source:
        source = os.path.abspath(source)  # workers have other working directories
    path = _local(source)
    if path.is_dir() and not is_pair(path):
        chosen = version_directory(path)
        if chosen != path:
            source = posixpath.join(source, chosen.name)
        return ModelFiles(source, chosen.name, _fingerprint(chosen))
    if not path.exists():
        raise CallError(f"no model at {source}: no such file or directory")
    return ModelFiles(source, __version__, _fingerprint(path))


def _local(source) -> Path:
    """Return the local path of a model; a model on another store is downloaded once per process."""
    if source == SHIPPED:
        return SHIPPED_PAIR
    return _copied(source) if "://" in source else Path(source)


@functools.cache
def _copied(source) -> Path:
    store, path = open_store(source)
    folder = Path(tempfile.mkdtemp(prefix="cspn-tf-model-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        store.get(path, str(folder / posixpath.basename(path)), recursive=True)
    except Exception as error:
        raise CallError(f"no model at {source}: {type(error).__name__}: {error}") from error
    return folder / posixpath.basename(path)


def _fingerprint(path) -> str:
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(path)}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


@functools.cache
def _loaded(files, num_threads):
    """Load the model, once per process."""
    import cspn_tf
    from cspn_tf.machine import set_threads

    quiet_tensorflow()
    set_threads(num_threads, num_threads)
    path = _local(files.source)
    if not path.exists():
        raise UserError(f"no model at {files.source} on this machine: it must be at the same path on all machines")
    if _fingerprint(path) != files.fingerprint:
        raise UserError(f"{files.source} differs between the machines")
    return cspn_tf.load(path)


def annotate_block(blocks, block, files, *, batch_size, num_threads) -> tuple:
    """Annotate one block and write its file.

    Args:
        blocks: `Blocks`.
        block: number of the block.
        files: `ModelFiles`.
        batch_size: photos per pass through the networks.
        num_threads: TensorFlow's threads in this process.

    Returns:
        Number of photos, and seconds that they took without loading the model.

    Raises:
        UserError: the model, the list of photos or the output folder cannot be used. A photo that cannot be read
            becomes a row with a status instead.
    """
    model = _loaded(files, num_threads)
    start = time.monotonic()
    photos = blocks.photos(block)
    rows = list(_rows(model, blocks, photos, batch_size))
    now = datetime.datetime.now(datetime.timezone.utc)
    about = {"model": files.source, "model_version": files.version, "time": now}
    blocks.write(block, table.parquet_of([{**row, **about} for row in rows]))
    return len(rows), time.monotonic() - start


def _rows(model, blocks: Blocks, photos, batch_size):
    numbered = zip(photos, read_photos(blocks.kind, photos, blocks.bytes_column), strict=True)
    while batch := list(itertools.islice(numbered, batch_size)):
        results = iter(model([content for _, content in batch if isinstance(content, bytes)], batch_size))
        for photo, content in batch:
            if isinstance(content, bytes):
                yield table.row_of(dataclasses.replace(next(results), name=photo.id, photo=None))
            else:
                yield table.row_of(Result(STATUS_UNREADABLE, name=photo.id), content)
