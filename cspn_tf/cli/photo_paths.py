"""The photos that the arguments of a command name."""

import collections
import os
import sys

from cspn_tf.cli.answers import complain
from cspn_tf.console import UserError
from cspn_tf.contract import PHOTO_SUFFIXES, PICTURE_SUFFIX

_OTHER_PICTURES = (".avif", ".bmp", ".gif", ".heic", ".heif", ".tif", ".tiff")
_LINKED_FOLDER = ""  # among the counts of skipped files by suffix


def find_existing_photos(paths) -> tuple[list[str], list[str]]:
    """List photos as `find_photos` does, where at least one must exist if there are any.

    Raises:
        UserError: no photo exists.
    """
    photos, failed = find_photos(paths)
    if photos and not any(map(os.path.exists, photos)):
        raise UserError(f"{photos[0]}: no such file or folder")
    return photos, failed


def find_photos(paths) -> tuple[list[str], list[str]]:
    """List the photos in files and folders; a folder that fails, and what is skipped, is reported on stderr.

    Args:
        paths: photos and folders, strings. Pictures that a command drew are skipped in folders.

    Returns:
        photos: the given photos and those found in folders, without duplicates.
        failed: folders that cannot be read or contain no photos.
    """
    photos, failed, skipped = {}, [], collections.Counter()

    def fail(folder, why):
        complain(f"{folder}: {why}")
        failed.append(folder)

    for path in paths:
        found, num_failed = [path], len(failed)
        if os.path.isdir(path):
            found = list(_photos_below(path, lambda error: fail(error.filename, error.strerror), skipped))
            if not found and len(failed) == num_failed:
                fail(path, f"no photo in it: no {', '.join(PHOTO_SUFFIXES)}")
        for photo in found:
            photos.setdefault(os.path.abspath(photo), photo)
    if num_links := skipped.pop(_LINKED_FOLDER, 0):
        print(f"skipped, links to folders: {num_links}", file=sys.stderr)
    if skipped:
        counts = ", ".join(f"{count} {suffix}" for suffix, count in sorted(skipped.items()))
        print(f"skipped, not JPEG, PNG or WebP by name: {counts}", file=sys.stderr)
    return list(photos.values()), failed


def _photos_below(folder, on_error, skipped):
    """Yield the photos in a folder, then those in its subfolders, sorted; count what is skipped, by suffix.

    Hidden files are skipped, because macOS creates them beside photos, and pipes and devices, which may never end.
    Symlinks to folders are not followed, because they may form cycles.
    """
    for parent, folders, files in os.walk(folder, onerror=on_error):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        skipped[_LINKED_FOLDER] += sum(os.path.islink(os.path.join(parent, name)) for name in folders)
        for name in sorted(files):
            path, suffix = os.path.join(parent, name), os.path.splitext(name)[1].lower()
            if name.startswith(".") or name.endswith(PICTURE_SUFFIX):
                continue
            if suffix in _OTHER_PICTURES:
                skipped[suffix] += 1
            elif suffix in PHOTO_SUFFIXES and (os.path.isfile(path) or not os.path.exists(path)):
                yield path  # also a broken link, which is then reported
