"""Atomic writes of files and folders, JSON files, SHA-256 of files, lock files, and paths for TensorFlow."""

import contextlib
import hashlib
import io
import json
import os
import secrets
import shutil
import tempfile
from pathlib import Path

from cspn_tf.console import CallError, UserError

_LOCK = "lock"


@contextlib.contextmanager
def replaced_file(path):
    """Yield a temporary path that is renamed to `path` when the block succeeds, and deleted when it fails.

    Args:
        path: file to write or replace.

    Yields:
        Path of a file that does not exist yet, beside `path` and with the same suffixes.

    Raises:
        OSError: raised by the block or the rename; its `filename` is `path` if it was missing (as for a full disk) or
            the temporary path.
    """
    path = Path(path)
    # Short, because names are limited to 255 bytes, but with suffixes such as `.weights.h5`.
    temporary = path.with_name(f".{secrets.token_hex(4)}-{path.name[-20:]}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException as error:  # Ctrl-C too
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and (error.filename is None or str(error.filename) == str(temporary)):
            error.filename = str(path)
        raise


def write_bytes(path, content) -> None:
    """Write a file by atomic rename."""
    with replaced_file(path) as temporary:
        temporary.write_bytes(content)


def write_text(path, text) -> None:
    """Write a text file in UTF-8 by atomic rename."""
    write_bytes(path, text.encode())


def write_picture(path, picture, **options) -> None:
    """Write a Pillow image by atomic rename: as a PNG if the path says so, else as a JPEG.

    Pillow itself leaves a part of the file without an error where the disk is full.
    """
    write_bytes(path, picture_bytes(picture, "PNG" if Path(path).suffix.lower() == ".png" else "JPEG", **options))


def picture_bytes(picture, format, **options) -> bytes:
    """Return a Pillow image as the bytes of a file, with the options of its `save`."""
    content = io.BytesIO()
    picture.save(content, format, **options)
    return content.getvalue()


def write_json(path, content) -> None:
    """Write a JSON file by atomic rename."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path, what="JSON file"):
    """Return the content of a JSON file.

    Args:
        path: the file.
        what: what it should be, for the message.

    Raises:
        UserError: the file cannot be read, or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text("utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path}: not a {what}: {error}") from error


def file_sha256(path) -> str:
    """Return the SHA-256 of a file as hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def is_newer(path, sources) -> bool:
    """Check whether a file and all its sources exist, and the file is not older than any source."""
    path, sources = Path(path), [Path(source) for source in sources]
    if not path.exists() or not all(source.exists() for source in sources):
        return False
    return path.stat().st_mtime >= max(source.stat().st_mtime for source in sources)


@contextlib.contextmanager
def staged_directory(out, *, overwrite=False, resumable=True):
    """Yield a staging directory that is renamed to `out` when the block succeeds.

    If the block fails, the staging directory is removed. If it is interrupted (`KeyboardInterrupt`, or the process is
    killed), the staging directory is kept and reused by the next call with the same `out`; the block must then be able
    to tell complete files from partial ones.

    Args:
        out: folder to create. Missing parents are created; an empty folder is replaced.
        overwrite: whether a non-empty folder is replaced too. It is not touched before the block succeeds.
        resumable: if false, an interruption is a failure like any other, and what a killed process left is removed
            before the block.

    Yields:
        Path of the staging directory, beside `out`; empty unless an earlier run was interrupted.

    Raises:
        CallError: see `check_replaceable`; or another process is writing the same folder.
    """
    check_replaceable(out, overwrite)
    out = Path(out).resolve()
    missing_parents = [parent for parent in out.parents if not parent.exists()]
    staging = out.with_name(f".{out.name}.partial")
    try:
        staging.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as lock:
            lock.enter_context(locked(staging / _LOCK, out))
            try:
                if not resumable:
                    _empty(staging)
                yield staging
                lock.close()  # first, because Windows cannot rename a folder that contains an open file
                _replace(out, staging, overwrite)
            except BaseException as error:
                if not (resumable and isinstance(error, KeyboardInterrupt)):
                    shutil.rmtree(staging, ignore_errors=True)
                raise
    except BaseException:
        for folder in (staging, *missing_parents):
            with contextlib.suppress(OSError):
                folder.rmdir()  # fails if not empty
        raise


@contextlib.contextmanager
def locked(path, out):
    """Hold a lock file while the block runs.

    Args:
        path: lock file, in an existing folder; deleted afterwards.
        out: the output that is protected, for the error message.

    Raises:
        CallError: if another process holds the lock.
    """
    import filelock

    lock = filelock.FileLock(path, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise CallError(f"{out} is being written by another process") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # while holding the lock, so that no other process can own it; fails on Windows
        lock.release()


def check_writable(out, name=None) -> None:
    """Check that the folder `out`, and a file of that name in it, can be written, or created, before the work starts.

    Raises:
        CallError: they cannot.
    """
    if name and Path(out, name).is_dir():
        raise CallError(f"--out {out}: {Path(out, name)} is a folder, required a file")
    parent = Path(out).absolute()
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise CallError(f"--out {out}: {parent} is a file, required a folder")
    if not os.access(parent, os.W_OK):
        raise CallError(f"--out {out}: {parent} is not writable")


def check_replaceable(out, overwrite, advice="choose another folder") -> None:
    """Check that an output folder can be created or replaced, before the work starts.

    Args:
        out: the folder.
        overwrite: whether it may be replaced if it is not empty.
        advice: what to do if it is not empty, for the message.

    Raises:
        CallError: `out` is not empty and `overwrite` is false, is not a folder, or cannot be replaced.
    """
    out = Path(out).resolve()
    if not out.exists():
        return
    if not out.is_dir():
        raise CallError(f"{out} is a file, required a folder")
    if os.path.ismount(out):
        raise CallError(f"{out} is a mount point and cannot be replaced: name a folder inside it")
    if any(out.iterdir()) and not overwrite:
        raise CallError(f"{out} is not empty: {advice}")
    if Path.cwd().is_relative_to(out):
        raise CallError(f"{out} contains the working directory and cannot be replaced")


def _empty(staging):
    for path in staging.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != _LOCK:
            path.unlink()


def _replace(out, staging, overwrite):
    if not (overwrite and out.exists()):
        with contextlib.suppress(FileNotFoundError):
            out.rmdir()  # fails if no longer empty; needed because Windows cannot rename onto an existing folder
        staging.rename(out)
        return
    old = out.with_name(f".{out.name}.replaced-{secrets.token_hex(4)}")
    out.rename(old)
    try:
        staging.rename(out)
    except BaseException:
        old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def plain_path(folder):
    """Yield a path without glob characters by which TensorFlow can access a folder.

    TensorFlow reads the paths of checkpoints, and so of SavedModels, as glob patterns: `run [v1]` matches `run v` or
    `run 1`, and a backslash escapes the next character.

    Args:
        folder: any path; it need not exist yet.

    Yields:
        The folder's path if it has no glob characters, else that of a temporary symlink to it; a string.

    Raises:
        UserError: the symlink cannot be created.
    """
    folder = Path(folder)
    if _is_plain(folder):
        yield str(folder)
        return
    with tempfile.TemporaryDirectory(prefix="cspn-tf-") as links:
        link = Path(links) / "link"
        if not _is_plain(link):
            raise UserError(f"{folder.name} needs a temporary directory without any of *?[]\\ in its path: set TMPDIR")
        try:
            link.symlink_to(folder.absolute(), target_is_directory=True)
        except OSError as error:
            raise UserError(f"{folder}: TensorFlow cannot use a folder of this name: {error.strerror}") from error
        yield str(link)


def _is_plain(path) -> bool:
    return not set(path.as_posix()) & set("*?[]\\")
