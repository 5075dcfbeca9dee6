"""Values of annotation files that are not text tables: JSON documents, numbers, codes, boxes, photo names.

Every function returns a value that can be used or raises `FieldFault`, whatever it is given: a reader decides what
the fault costs.
"""

import json
import os
import re
import unicodedata
from pathlib import PurePosixPath

NUMBERS = (int, float)  # the types of a JSON number; true and false are of another
LARGEST_COORDINATE = 1e6  # pixels; beyond this a number is a slip, whatever the photo

_WHOLE_NUMBER = re.compile(r"([0-9]{1,4000})(\.0+)?")  # as text; Python reads no whole number that is much longer
_DECIMAL = re.compile(r"-?[0-9]{1,300}(\.[0-9]{1,300})?")
_MAX_WHOLE_FLOAT = 2.0**53  # beyond this, neighbouring whole numbers are one float


class FieldFault(Exception):
    """A value cannot be used; the message says why, in one line."""


# JSON ----------------------------------------------------------------------------------------------------------------


class _RepeatedKey(dict):
    """An object that has a key twice, so that nobody knows which value is right."""

    key = ""


def read_json(path):
    """Read a JSON file.

    What Python reads beyond the standard is a fault where it is used: `NaN`, `Infinity` and numbers too large for a
    float when they are read as a number, repeated keys when the object is. A fault then costs one annotation of a
    large file and not the file.

    Args:
        path: of the file, UTF-8, with or without a byte order mark.

    Raises:
        FieldFault: it cannot be read, or is not JSON.
    """
    try:
        with open(path, "rb") as file:
            text = file.read().decode("utf-8-sig")
        return json.loads(text, object_pairs_hook=_object)
    except OSError as error:
        raise FieldFault(f"cannot be read: {error.strerror or error}")
    except UnicodeDecodeError as error:
        raise FieldFault(f"is not UTF-8: byte {error.start}")
    except json.JSONDecodeError as error:
        raise FieldFault(f"is not JSON: {error.msg} in line {error.lineno}")
    except ValueError:  # Python reads no whole number of more than some thousand digits
        raise FieldFault("is not JSON that can be read: a number has too many digits")
    except RecursionError:
        raise FieldFault("is not JSON that can be read: it is nested too deeply")


def _object(pairs):
    read = dict(pairs)
    if len(read) == len(pairs):
        return read
    repeated, seen = _RepeatedKey(read), set()
    for key, _ in pairs:
        if key in seen:
            repeated.key = key
        seen.add(key)
    return repeated


def json_object(value, what) -> dict:
    """Return a JSON object.

    Args:
        value: as `read_json` gave it.
        what: what it is, for the message.

    Raises:
        FieldFault: it is something else, or has a key twice.
    """
    if not isinstance(value, dict):
        raise FieldFault(f"{what} is {shown(value)}, required an object")
    if isinstance(value, _RepeatedKey):
        raise FieldFault(f"{what} has the key {shown(value.key)} more than once")
    return value


def json_list(value, what, length=None) -> list:
    """Return a JSON list, of `length` values unless that is None; the rest as `json_object`."""
    if not isinstance(value, list):
        raise FieldFault(f"{what} is {shown(value)}, required a list")
    if length is not None and len(value) != length:
        raise FieldFault(f"{what} has {len(value)} values, required {length}")
    return value


def member(json_dict, key, what):
    """Return what a JSON object has under a key; `what` names the object.

    Raises:
        FieldFault: the key is missing.
    """
    if key not in json_dict:
        raise FieldFault(f"{what} has no {key!r}")
    return json_dict[key]


# Values --------------------------------------------------------------------------------------------------------------


def number(value, what) -> float:
    """Return a coordinate or a length in pixels, 12.5 or "12.5".

    Raises:
        FieldFault: it is no number, not finite or too large.
    """
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = float(value)
    if type(value) not in NUMBERS:
        raise FieldFault(f"{what} is {shown(value)}, required a number")
    if not abs(value) <= LARGEST_COORDINATE:  # so that NaN fails too
        raise FieldFault(f"{what} {shown(value)} is not a number of pixels")
    return float(value)


def whole_number(value, what) -> int:
    """Return a whole number that is not negative, however a tool wrote it: 7, 7.0 or "7".

    Raises:
        FieldFault: it is anything else.
    """
    whole = _whole(value)
    if whole is None:
        raise FieldFault(f"{what} is {shown(value)}, required a whole number")
    return whole


def code(value, what, known) -> int:
    """Return a code that must be one of those known, in any of the spellings of `whole_number`.

    Raises:
        FieldFault: it is anything else.
    """
    whole = _whole(value)
    if whole is None or whole not in known:
        raise FieldFault(f"{what} is {shown(value)}, required {', '.join(str(int(k)) for k in known)}")
    return whole


def identifier(value, what) -> int | str:
    """Return an id: a whole number in any of the spellings of `whole_number`, which are the same id, or a text.

    Raises:
        FieldFault: it is anything else.
    """
    whole = _whole(value)
    if whole is not None:
        return whole
    if isinstance(value, str) and value:
        return value
    raise FieldFault(f"{what} is {shown(value)}, required a whole number or text")


def _whole(value):
    """Return the whole number from 0 that a value is, or None."""
    if type(value) is int:
        return value if value >= 0 else None
    if isinstance(value, str):
        match = _WHOLE_NUMBER.fullmatch(value)
        return int(match[1]) if match else None
    is_whole = type(value) is float and 0 <= value < _MAX_WHOLE_FLOAT and value.is_integer()
    return int(value) if is_whole else None


def box(x_min, y_min, x_max, y_max) -> tuple[float, float, float, float]:
    """Return a box from its corners.

    Raises:
        FieldFault: it has no area, or is too large.
    """
    if not (x_max > x_min and y_max > y_min):
        raise FieldFault(f"box {x_min:g} {y_min:g} {x_max:g} {y_max:g} has no area")
    for value in (x_min, y_min, x_max, y_max):
        number(value, "corner of the box")
    return x_min, y_min, x_max, y_max


def photo_name(value, what) -> str:
    """Return a photo's path inside the dataset, in its shortest spelling.

    Raises:
        FieldFault: it is no text, is absolute or leads out of the dataset, or has characters that no name has.
    """
    if not isinstance(value, str):
        raise FieldFault(f"{what} is {shown(value)}, required text")
    if has_control_characters(value):
        raise FieldFault(f"{what} {shown(value)} has control characters")
    path = PurePosixPath(value)
    if not path.name or path.is_absolute() or ".." in path.parts:
        raise FieldFault(f"{what} {shown(value)} is not a path inside the dataset")
    return str(path)


def has_control_characters(text) -> bool:
    """Return whether a text has control characters, or halves of characters, which no file can be named with here.

    Others that cannot be seen are in names that people have: the narrow space that macOS writes into those of
    screenshots, what joins emoji.
    """
    return not text.isprintable() and any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


def photo_paths(folders, photo) -> list[str]:
    """Return the path of a photo in the first of some folders that has it, and nothing else; in all, where none has."""
    paths = [os.path.join(folder, photo) for folder in folders]
    return next(([path] for path in paths if os.path.isfile(path)), paths)


def shown(value, limit=60) -> str:
    """Put a value into words for a message: printable, one line, and not too long."""
    if isinstance(value, str):
        return ascii(value if len(value) <= limit else value[:limit] + "...")
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = json.dumps(value)  # null, true, false, NaN or a number, as the file has it
    return text if len(text) <= limit else text[:limit] + "..."
