"""Files on any store that fsspec opens: local folders, buckets, memory."""

import posixpath
import secrets

from cspn_tf.console import CallError, UserError

# Stores on which a file appears only when its last byte is there. On the others it is written elsewhere and renamed.
_ATOMIC = {"memory", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss"}


def open_store(uri) -> tuple:
    """Return the fsspec file system of a path or URI, and the path on it.

    Raises:
        CallError: the protocol is unknown, or its package is not installed.
    """
    import fsspec

    try:
        return fsspec.core.url_to_fs(str(uri))
    except (ValueError, ImportError) as error:
        raise CallError(f"{uri}: {error}") from error


def uri_of(store, path) -> str:
    """Return the URI of a path on a store; a plain path if the store is the local one."""
    return path if "file" in _protocols(store) else store.unstrip_protocol(path)


def names_in(folder) -> set[str]:
    """Return the names of the files and folders in a folder; none if it does not exist, which an empty one on S3 does
    not."""
    store, root = open_store(folder)
    store.invalidate_cache()
    try:
        return {posixpath.basename(path.rstrip("/")) for path in store.ls(root, detail=False)}
    except FileNotFoundError:
        return set()


def read_whole(uri, start=None, stop=None) -> bytes:
    """Return a file's bytes, or those from `start` to before `stop`; every failure is an OSError."""
    store, path = open_store(uri)
    try:
        return store.cat_file(path, start, stop)
    except OSError:
        raise
    except Exception as error:  # stores raise their own classes for refused access and lost connections
        raise OSError(f"{type(error).__name__}: {error}") from error


def write_whole(folder, name, content, temporary_folder) -> None:
    """Write a file so that no reader ever sees a part of it.

    Args:
        folder: path or URI of an existing folder.
        name: name of the file in it; replaced if it exists.
        content: bytes.
        temporary_folder: name of a folder inside `folder`, for the temporary file.

    Raises:
        UserError: the file cannot be written.
    """
    store, root = open_store(folder)
    path = posixpath.join(root, name)
    try:
        if _protocols(store) & _ATOMIC:
            store.pipe_file(path, content)
            return
        temporary = posixpath.join(root, temporary_folder, secrets.token_hex(8))
        store.makedirs(posixpath.dirname(temporary), exist_ok=True)
        try:
            store.pipe_file(temporary, content)
            store.mv(temporary, path)
        except BaseException:
            if store.exists(temporary):
                store.rm_file(temporary)
            raise
    except Exception as error:
        raise UserError(f"{uri_of(store, path)} cannot be written: {_reason(error)}") from error


def _protocols(store) -> set:
    return {store.protocol} if isinstance(store.protocol, str) else set(store.protocol)


def _reason(error):
    return getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
