"""The photos that the arguments of a command name."""

import os

from cspn_tf.cli.answers import PICTURE_SUFFIX, complain
from cspn_tf.contract import PHOTO_SUFFIXES


def find_photos(paths) -> tuple[list[str], list[str]]:
    """List the photos in files and folders; a folder that fails is reported in one line on stderr.

    Args:
        paths: photos and folders, strings. Pictures that a command drew are skipped in folders.

    Returns:
        photos: the given photos and those found in folders, without duplicates.
        failed: folders that cannot be read or contain no photos.
    """
    photos, failed = {}, []

    def fail(folder, why):
        complain(f"{folder}: {why}")
        failed.append(folder)

    for path in paths:
        found, num_failed = [path], len(failed)
        if os.path.isdir(path):
            found = list(_photos_below(path, lambda error: fail(error.filename, error.strerror)))
            if not found and len(failed) == num_failed:
                fail(path, f"no photo in it: no {', '.join(PHOTO_SUFFIXES)}")
        for photo in found:
            photos.setdefault(os.path.abspath(photo), photo)
    return list(photos.values()), failed


def _photos_below(folder, on_error):
    """Yield the photos in a folder, then those in its subfolders, sorted.

    Hidden files are skipped, because macOS creates them beside photos. Symlinks to folders are not followed, because
    they may form cycles.
    """
    for parent, folders, files in os.walk(folder, onerror=on_error):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(PHOTO_SUFFIXES) and not name.startswith(".") and not name.endswith(PICTURE_SUFFIX):
                yield os.path.join(parent, name)
