"""Files and folders that appear whole or not at all, and paths that TensorFlow would take for patterns."""

import contextlib
import os
import secrets
import shutil
import tempfile
from pathlib import Path

from cspn_tf.console import CallError, UserError

_LOCK = "lock"


@contextlib.contextmanager
def replaced_file(path):
    """Give a path to write to that becomes `path` when the block ends well, and is gone when it does not.

    Args:
        path: file to write; what is there is replaced.

    Yields:
        Path of a file that is not there yet, beside `path` and with the same suffixes.

    Raises:
        OSError: what the block or the system raises; where that names the file of the block, it names `path` instead.
    """
    path = Path(path)
    # Short, as a name may have 255 bytes and `path` may need them all; but `.weights.h5` and its like stay.
    temporary = path.with_name(f".{secrets.token_hex(4)}-{path.name[-20:]}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException as error:  # Ctrl-C too
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and str(error.filename) == str(temporary):
            error.filename = str(path)
        raise


def is_newer(path, sources) -> bool:
    """Tell whether a file is there and not older than any of the files it was made from, which must be there too."""
    path, sources = Path(path), [Path(source) for source in sources]
    if not path.exists() or not all(source.exists() for source in sources):
        return False
    return path.stat().st_mtime >= max(source.stat().st_mtime for source in sources)


@contextlib.contextmanager
def staged_directory(out, *, overwrite=False):
    """Give a folder to write into that becomes `out` when the block ends well.

    When the block fails, the folder is removed. When it is interrupted (`KeyboardInterrupt`, or the process is
    killed), what has been written stays, and the next call for the same `out` gives it again: whoever writes must be
    able to tell finished files from others.

    Args:
        out: folder to create. Missing parents are created; an empty folder is replaced.
        overwrite: whether a folder with something in it is replaced too. It stays as it is until then.

    Yields:
        Path of a folder beside `out`, empty but for what an interrupted run has left.

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
                yield staging
                lock.close()  # first, since Windows renames no folder with an open file in it
                _replace(out, staging, overwrite)
            except BaseException as error:
                if not isinstance(error, KeyboardInterrupt):
                    shutil.rmtree(staging, ignore_errors=True)
                raise
    except BaseException:
        for folder in (staging, *missing_parents):
            with contextlib.suppress(OSError):
                folder.rmdir()  # refused where there is something in it
        raise


@contextlib.contextmanager
def locked(path, out):
    """Hold a lock while the block runs.

    Args:
        path: file of the lock, in a folder that is there; it is gone afterwards.
        out: what is being written, for the message.

    Raises:
        CallError: if another process holds it.
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
            path.unlink()  # while it is held, so that it is nobody else's; Windows refuses that
        lock.release()


def check_replaceable(out, overwrite) -> None:
    """Check that a folder can be written, before work is put into what shall be in it.

    Raises:
        CallError: `out` is not empty and is not to be overwritten, is no folder, or cannot be replaced.
    """
    out = Path(out).resolve()
    if not out.exists():
        return
    if not out.is_dir():
        raise CallError(f"{out} is a file, required a folder")
    if os.path.ismount(out):
        raise CallError(f"{out} is a mount point and cannot be replaced: name a folder inside it")
    if any(out.iterdir()) and not overwrite:
        raise CallError(f"{out} is not empty: give --overwrite to replace it")
    if Path.cwd().is_relative_to(out):
        raise CallError(f"{out} holds the working folder and cannot be replaced")


def _replace(out, staging, overwrite):
    if not (overwrite and out.exists()):
        with contextlib.suppress(FileNotFoundError):
            out.rmdir()  # fails if something came to be in it meanwhile; Windows renames onto no folder, not even empty
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
    """Give a path by which TensorFlow finds a folder, whatever characters are in the folder's own.

    TensorFlow looks for the files of a checkpoint, and so for those of a SavedModel, as for a pattern: to it,
    `run [v1]` is `run v` or `run 1`, and a backslash only marks the character after it.

    Args:
        folder: any path; there need not be anything yet.

    Yields:
        The folder itself where its path is an ordinary one, else a symbolic link to it; a string.

    Raises:
        UserError: no such link can be made.
    """
    folder = Path(folder)
    if _is_plain(folder):
        yield str(folder)
        return
    with tempfile.TemporaryDirectory(prefix="cspn-tf-") as links:
        link = Path(links) / "link"
        if not _is_plain(link):
            raise UserError(f"{folder.name} needs a folder for temporary files with an ordinary name: set TMPDIR")
        try:
            link.symlink_to(folder.absolute(), target_is_directory=True)
        except OSError as error:
            raise UserError(f"{folder}: TensorFlow cannot read from a folder of this name: {error.strerror}") from error
        yield str(link)


def _is_plain(path) -> bool:
    return not set(path.as_posix()) & set("*?[]\\")
