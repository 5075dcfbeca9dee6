"""The photos that the arguments of a command name."""

import os

from cspn_tf.cli.answers import PICTURE_SUFFIX, complain
from cspn_tf.contract import PHOTO_SUFFIXES


def find_photos(paths, out) -> tuple[list[str], list[str]]:
    """List the photos in files and folders; a folder that fails is reported in one line on stderr.

    Args:
        paths: photos and folders, strings.
        out: output folder; pictures drawn there by an earlier run are skipped.

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
            found = list(_photos_below(path, out, lambda error: fail(error.filename, error.strerror)))
            if not found and len(failed) == num_failed:
                fail(path, f"no photo in it: no {', '.join(PHOTO_SUFFIXES)}")
        for photo in found:
            photos.setdefault(os.path.abspath(photo), photo)
    return list(photos.values()), failed


def _photos_below(folder, out, on_error):
    """Yield the photos in a folder, then those in its subfolders, sorted.

    Hidden files are skipped, because macOS creates them beside photos. Symlinks to folders are not followed, because
    they may form cycles.
    """
    for parent, folders, files in os.walk(folder, onerror=on_error):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        is_out = os.path.realpath(parent) == os.path.realpath(out)
        for name in sorted(files):
            is_picture = is_out and name.endswith(PICTURE_SUFFIX)
            if name.lower().endswith(PHOTO_SUFFIXES) and not name.startswith(".") and not is_picture:
                yield os.path.join(parent, name)
