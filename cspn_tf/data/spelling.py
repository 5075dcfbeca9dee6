"""Find missing files that exist under another spelling of their name.

File names change between systems: `\\` becomes `/` or part of a name, a space becomes `%20`, an accented letter is
decomposed, `.JPG` becomes `.jpg`. Two names that differ in nothing else are spellings of the same name.
"""

import dataclasses
import os
import unicodedata
from urllib.parse import unquote


def with_other_spellings(rejected) -> list:
    """Add to the reasons of missing photos the other spelling under which the file exists, if there is one.

    Args:
        rejected: list of `Rejected`.

    Returns:
        The list with these additions. Every folder is read at most once.
    """
    names_in = {}
    return [_with_other_spelling(fault, names_in) for fault in rejected]


def _with_other_spelling(fault, names_in):
    if fault.kind == "missing photo" and fault.sample:
        for path in (fault.sample.path, *fault.sample.other_paths):
            if found := _other_spelling(path, names_in):
                return dataclasses.replace(fault, reason=f"{fault.reason}, but {found!a} exists")
    return fault


def _other_spelling(path, names_in):
    """Return the path of a file that is another spelling of `path`, below its deepest existing folder, or None."""
    folder, missing = path, []
    while folder and not os.path.isdir(folder):
        head, name = os.path.split(folder)
        if head == folder:  # a drive that does not exist
            return None
        folder, missing = head, [name, *missing]
    wanted = [part for name in missing for part in _same_for_all_spellings(name).split("/") if part]
    return _find(folder or ".", wanted, names_in)


def _find(folder, wanted, names_in):
    if not wanted:
        return folder if os.path.isfile(folder) else None
    if folder not in names_in:
        names_in[folder] = _names_by_spelling(folder)
    # A file name may contain another system's path separator, and then matches several parts at once.
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
    except OSError:  # not a folder, or no permission to read it
        pass
    return names


def _same_for_all_spellings(name) -> str:
    return unicodedata.normalize("NFKC", unquote(name).replace("\\", "/").casefold())
