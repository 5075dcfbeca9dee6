"""Read and write files on any store that fsspec opens: local folders, buckets, memory."""

import contextlib
import os
import posixpath
import secrets

from cspn_tf.console import CallError, UserError

# Stores on which a file appears only once it is complete. On all others, write under a temporary name and rename.
_ATOMIC = {"memory", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss"}


def open_store(uri) -> tuple:
    """Return the fsspec file system of a path or URI, and the path on it.

    Raises:
        CallError: the protocol is unknown, or its package is not installed.
    """
    import fsspec

    if "://" not in str(uri):  # also a name with "::", which chains URIs
        store = fsspec.filesystem("file")
        return store, store._strip_protocol(str(uri))
    try:
        return fsspec.core.url_to_fs(str(uri))
    except (ValueError, ImportError) as error:
        raise CallError(f"{uri}: {error}") from error


@contextlib.contextmanager
def store_errors(uri):
    """Convert a store's errors to a one-line UserError; stores raise exception classes of their own."""
    try:
        yield
    except (UserError, FileNotFoundError):
        raise
    except Exception as error:
        raise UserError(f"{uri}: {_reason(error)}") from error


def uri_of(store, path) -> str:
    """Return the URI of a path on a store; a plain path if the store is the local one."""
    return path if "file" in _protocols(store) else store.unstrip_protocol(path)


def names_in(folder) -> set[str]:
    """Return the names of the files and folders in a folder.

    An empty set if the folder does not exist: on S3, an empty folder does not exist.
    """
    store, root = open_store(folder)
    store.invalidate_cache()
    try:
        with store_errors(folder):
            return {posixpath.basename(path.rstrip("/")) for path in store.ls(root, detail=False)}
    except FileNotFoundError:
        return set()


def read_whole(uri, start=None, stop=None) -> bytes:
    """Return a file's bytes, or those in the range [start, stop); every failure is an OSError."""
    store, path = open_store(uri)
    try:
        return store.cat_file(path, start, stop)
    except OSError:
        raise
    except Exception as error:  # stores raise their own classes for refused access and lost connections
        raise OSError(f"{type(error).__name__}: {error}") from error


def write_whole(folder, name, content, temporary_folder, replace=True) -> None:
    """Write a file atomically: no reader ever sees a partial file.

    Args:
        folder: path or URI of a folder; it is created unless it exists (buckets are not).
        name: name of the file in it.
        content: bytes.
        temporary_folder: name of a folder inside `folder`, for the temporary file.
        replace: whether to replace an existing file.

    Raises:
        UserError: the file cannot be written.
        FileExistsError: the file exists and `replace` is false.
    """
    store, root = open_store(folder)
    path = posixpath.join(root, name)
    try:
        if _protocols(store) & _ATOMIC:
            store.pipe_file(path, content, **({} if replace else {"mode": "create"}))
            return
        temporary = posixpath.join(root, temporary_folder, secrets.token_hex(8))
        store.makedirs(posixpath.dirname(temporary), exist_ok=True)
        try:
            store.pipe_file(temporary, content)
            if not replace and "file" in _protocols(store):
                os.link(temporary, path)  # fails if it exists, unlike a rename
            elif not replace and store.exists(path):
                raise FileExistsError(path)
            else:
                store.mv(temporary, path)
        finally:
            if store.exists(temporary):
                store.rm_file(temporary)
    except FileExistsError:
        raise
    except Exception as error:
        raise UserError(f"{uri_of(store, path)} cannot be written: {_reason(error)}") from error


def _protocols(store) -> set:
    return {store.protocol} if isinstance(store.protocol, str) else set(store.protocol)


def _reason(error):
    return getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
