"""Find files that are there under another spelling of their name.

Names change on the way from one system to another: `\\` becomes `/` or a part of the name, a space becomes `%20`, an
accent a character of its own, `.JPG` becomes `.jpg`. Two names are spellings of one if nothing else tells them apart.
"""

import dataclasses
import os
import unicodedata
from urllib.parse import unquote

# Longer paths are no file's.
_MAX_PATH = 4096


def with_other_spellings(rejected) -> list:
    """Say of photos that are missing under which other name they are there.

    Args:
        rejected: list of `Rejected`.

    Returns:
        The same, with that added to the reasons; every folder is listed at most once.
    """
    names_in = {}
    return [_with_other_spelling(fault, names_in) for fault in rejected]


def _with_other_spelling(fault, names_in):
    if fault.kind == "missing photo" and fault.sample:
        for path in (fault.sample.path, *fault.sample.other_paths):
            if found := _other_spelling(path, names_in):
                return dataclasses.replace(fault, reason=f"{fault.reason}, but {found!a} is there")
    return fault


def _other_spelling(path, names_in):
    """Return the path of a file whose path is another spelling of this one, below the last folder that is there."""
    if len(path) > _MAX_PATH:
        return None
    folder, missing = path, []
    while folder and not os.path.isdir(folder):
        head, name = os.path.split(folder)
        if head == folder:  # a drive that is not there
            return None
        folder, missing = head, [name, *missing]
    wanted = [part for name in missing for part in _same_for_all_spellings(name).split("/") if part]
    return _find(folder or ".", wanted, names_in)


def _find(folder, wanted, names_in):
    if not wanted:
        return folder if os.path.isfile(folder) else None
    if folder not in names_in:
        names_in[folder] = _names_by_spelling(folder)
    # A name may hold what are separators elsewhere, and so be several parts at once.
    for num in range(len(wanted), 0, -1):
        for name in names_in[folder].get("/".join(wanted[:num]), ()):
            if found := _find(os.path.join(folder, name), wanted[num:], names_in):
                return found
    return None


def _names_by_spelling(folder):
    names = {}
    try:
        for name in os.listdir(folder):
            names.setdefault(_same_for_all_spellings(name), []).append(name)
    except OSError:  # no folder, or one that may not be read
        pass
    return names


def _same_for_all_spellings(name) -> str:
    return unicodedata.normalize("NFKC", unquote(name).replace("\\", "/").casefold())
