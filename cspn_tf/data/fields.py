"""The values of annotation files: numbers, codes, boxes, keypoints, photo names, and the JSON that holds some of them.

A value is what JSON has, or the text that stands in a table; `what` says in the messages what it is. Every function
returns what its docstring says, and raises `RowFault` where the value is anything else, whatever it is; the readers
decide what the fault costs.
"""

import collections
import contextlib
import json
import os
import re
import unicodedata
from pathlib import PurePosixPath

from cspn_tf.console import UserError

NUMBERS = (int, float)  # the types of a JSON number; true and false are of another
LARGEST_COORDINATE = 1e6  # pixels; beyond this a number is a slip, whatever the photo

_WHOLE_NUMBER = re.compile(r"([0-9]{1,4000})(\.0+)?")  # as text; Python reads no whole number that is much longer
_DECIMAL = re.compile(r"-?[0-9]{1,300}(\.[0-9]{1,300})?")
_MAX_WHOLE_FLOAT = 2.0**53  # beyond this, neighbouring whole numbers are one float


class RowFault(Exception):
    """A row of an annotation file, or what the file has in place of rows, cannot be used.

    Attributes:
        reason: what is wrong with it, one line; it is the message.
        where: `file:line`, or `file` and what in it; None until a reader adds it, see `faults_at`.
    """

    def __init__(self, reason, where=None):
        super().__init__(reason)
        self.reason, self.where = reason, where


@contextlib.contextmanager
def faults_at(where):
    """Add to a `RowFault` of the body where it is, unless it says that already."""
    try:
        yield
    except RowFault as fault:
        fault.where = fault.where or where
        raise


@contextlib.contextmanager
def refusing(where):
    """End the reading at a `RowFault` of the body: a `UserError` that names the place."""
    try:
        yield
    except RowFault as fault:
        raise UserError(f"{where}: {fault}")


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
        RowFault: it cannot be read, or is not JSON.
    """
    try:
        with open(path, "rb") as file:
            text = file.read().decode("utf-8-sig")
        return json.loads(text, object_pairs_hook=_object)
    except OSError as error:
        raise RowFault(f"cannot be read: {error.strerror or error}")
    except UnicodeDecodeError as error:
        raise RowFault(f"is not UTF-8: byte {error.start}")
    except json.JSONDecodeError as error:
        raise RowFault(f"is not JSON: {error.msg} in line {error.lineno}")
    except ValueError:  # Python reads no whole number of more than some thousand digits
        raise RowFault("is not JSON that can be read: a number has too many digits")
    except RecursionError:
        raise RowFault("is not JSON that can be read: it is nested too deeply")


def _object(pairs):
    read = dict(pairs)
    if len(read) == len(pairs):
        return read
    repeated = _RepeatedKey(read)
    ((repeated.key, _),) = collections.Counter(key for key, _ in pairs).most_common(1)
    return repeated


def json_object(value, what) -> dict:
    """Return a JSON object that has no key twice."""
    if not isinstance(value, dict):
        raise RowFault(f"{what} is {shown(value)}, required an object")
    if isinstance(value, _RepeatedKey):
        raise RowFault(f"{what} has the key {shown(value.key)} more than once")
    return value


def json_list(value, what, length=None) -> list:
    """Return a JSON list, of `length` values unless that is None."""
    if not isinstance(value, list):
        raise RowFault(f"{what} is {shown(value)}, required a list")
    if length is not None and len(value) != length:
        raise RowFault(f"{what} has {len(value)} values, required {length}")
    return value


def member(json_dict, key, what, parse=None, *args):
    """Read what a JSON object has under a key.

    Args:
        json_dict: the object.
        key: text.
        what: the object in words, for the message.
        parse: one of the functions here, called with the value, the key and `args`; None to return it as it is.
    """
    if key not in json_dict:
        raise RowFault(f"{what} has no {key!r}")
    return parse(json_dict[key], key, *args) if parse else json_dict[key]


# Values --------------------------------------------------------------------------------------------------------------


def number(value, what) -> float:
    """Return a coordinate or a length in pixels, 12.5 or "12.5", that is finite and no larger than a photo can be."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = float(value)
    if type(value) not in NUMBERS:
        raise RowFault(f"{what} is {shown(value)}, required a number")
    if not abs(value) <= LARGEST_COORDINATE:  # so that NaN fails too
        raise RowFault(f"{what} {shown(value)} is not a number of pixels")
    return float(value)


def whole_number(value, what) -> int:
    """Return a whole number that is not negative, however a tool wrote it: 7, 7.0 or "7"."""
    whole = _whole(value)
    if whole is None:
        raise RowFault(f"{what} is {shown(value)}, required a whole number")
    return whole


def one_of(value, what, known) -> int:
    """Return a code that is one of those known, in any of the spellings of `whole_number`."""
    whole = _whole(value)
    if whole is None or whole not in known:
        raise RowFault(f"{what} is {shown(value)}, required {', '.join(str(int(k)) for k in known)}")
    return whole


def identifier(value, what) -> int | str:
    """Return an id: a whole number in any of the spellings of `whole_number`, which are the same id, or a text."""
    whole = _whole(value)
    if whole is not None:
        return whole
    if isinstance(value, str) and value:
        return value
    raise RowFault(f"{what} is {shown(value)}, required a whole number or text")


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
    """Return a box from its corners; it has an area, and its corners are coordinates as of `number`."""
    if not (x_max > x_min and y_max > y_min):
        raise RowFault(f"box {x_min:g} {y_min:g} {x_max:g} {y_max:g} has no area")
    for value in (x_min, y_min, x_max, y_max):
        number(value, "corner of the box")
    return x_min, y_min, x_max, y_max


def keypoint(x, y, code, name, visibility_of_code) -> tuple[float, float, int]:
    """Return a keypoint, x, y and its `Visibility`.

    Args:
        x, y: pixels.
        code: the format's code for how it is seen.
        name: of the keypoint, for the message.
        visibility_of_code: all codes of the format → `Visibility`.
    """
    visibility = visibility_of_code[one_of(code, f"visibility of {name}", visibility_of_code)]
    return number(x, f"x of {name}"), number(y, f"y of {name}"), visibility


def text(value, what) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise RowFault(f"{what} is {shown(value)}, required text")
    return value


def photo_name(value, what) -> str:
    """Return a photo's path in its shortest spelling: inside the dataset, and with characters that a name can have."""
    text(value, what)
    if has_control_characters(value):
        raise RowFault(f"{what} {shown(value)} has control characters or is not UTF-8")
    path = PurePosixPath(value)
    if not path.name or path.is_absolute() or ".." in path.parts:
        raise RowFault(f"{what} {shown(value)} is not a path inside the dataset")
    return str(path)


def has_control_characters(text) -> bool:
    """Return whether a text has control characters, or what was not UTF-8: nothing that a file can be named with here.

    Other characters that cannot be seen are in names that people have: the narrow space that macOS writes into the
    names of screenshots, the joiner of emoji.
    """
    return not text.isprintable() and any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


def photo_paths(folders, photo) -> list[str]:
    """Return the path of a photo in the first of some folders that has it, and nothing else; in all, where none has."""
    paths = [os.path.join(folder, photo) for folder in folders]
    return next(([path] for path in paths if os.path.isfile(path)), paths)


def shown(value, limit=60) -> str:
    """Put a value into words for a message: printable, one line, and not too long."""
    if isinstance(value, str):
        return escaped(value if len(value) <= limit else value[:limit] + "...")
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = json.dumps(value)  # null, true, false, NaN or a number, as the file has it
    return text if len(text) <= limit else text[:limit] + "..."


def escaped(text) -> str:
    """Put a text between quotes, printable and ASCII; a byte that is not UTF-8 is shown as one, as `\\xff`."""
    return re.sub(r"\\udc([89a-f][0-9a-f])", r"\\x\1", ascii(text))
