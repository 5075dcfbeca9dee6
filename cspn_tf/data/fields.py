"""Parse the values of annotation files: numbers, codes, boxes, keypoints, photo names and JSON.

A value is a JSON value or the text of a table cell; `what` names it in error messages. Every function raises
`RowFault` for a value of any other type or form than its docstring describes. The readers decide whether a fault
rejects one row or the whole file.
"""

import collections
import contextlib
import json
import os
import re
import unicodedata
from pathlib import PurePosixPath

from cspn_tf.console import UserError

NUMBERS = (int, float)  # the types of a JSON number; compared by `type(...)`, which excludes bool
LARGEST_COORDINATE = 1e6  # pixels; a larger number is an error for any photo

_WHOLE_NUMBER = re.compile(r"([0-9]{1,4000})(\.0+)?")  # Python refuses to parse integers of more than 4300 digits
_DECIMAL = re.compile(r"-?[0-9]{1,300}(\.[0-9]{1,300})?")
_MAX_WHOLE_FLOAT = 2.0**53  # beyond this, floats cannot tell neighbouring integers apart


class RowFault(Exception):
    """A row (or JSON entry) of an annotation file cannot be used.

    Attributes:
        reason: what is wrong, one line; also the exception's message.
        where: `file:line`, or `file` and the entry; None until a reader adds it, see `faults_at`.
    """

    def __init__(self, reason, where=None):
        super().__init__(reason)
        self.reason, self.where = reason, where


@contextlib.contextmanager
def faults_at(where):
    """Set `where` of a `RowFault` raised in the block, unless it is set already."""
    try:
        yield
    except RowFault as fault:
        fault.where = fault.where or where
        raise


@contextlib.contextmanager
def refusing(where):
    """Convert a `RowFault` raised in the block to a `UserError` with its location, which ends the reading."""
    try:
        yield
    except RowFault as fault:
        raise UserError(f"{where}: {fault}")


# JSON ----------------------------------------------------------------------------------------------------------------


class _RepeatedKey(dict):
    """A JSON object with a duplicate key, of which no value can be trusted; `json_object` refuses it."""

    key = ""


def read_json(path):
    """Read a JSON file.

    `NaN`, `Infinity`, numbers too large for a float and repeated keys are not refused here but when the value is used
    (`number`, `json_object`), so that one of them costs one annotation of a large file and not the whole file.

    Args:
        path: UTF-8 file, with or without a byte order mark.

    Raises:
        RowFault: the file cannot be read, or is not JSON.
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
        raise RowFault(f"is not JSON: {error.msg} in line {error.lineno}, column {error.colno}")
    except ValueError:  # Python's limit on the digits of an integer
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
    """Return a JSON object, which must have no duplicate key."""
    if not isinstance(value, dict):
        raise RowFault(f"{what} is {shown(value)}, required an object")
    if isinstance(value, _RepeatedKey):
        raise RowFault(f"{what} has the key {shown(value.key)} more than once")
    return value


def json_list(value, what, length=None) -> list:
    """Return a JSON list, which must have `length` values unless that is None."""
    if not isinstance(value, list):
        raise RowFault(f"{what} is {shown(value)}, required a list")
    if length is not None and len(value) != length:
        raise RowFault(f"{what} has {len(value)} values, required {length}")
    return value


def member(json_dict, key, what, parse=None, *args):
    """Return the value of a key that a JSON object must have.

    Args:
        json_dict: the object.
        key: the key.
        what: description of the object, for the message.
        parse: function of this module, called with the value, the key and `args`; None to return the value unparsed.
    """
    if key not in json_dict:
        raise RowFault(f"{what} has no {key!r}")
    return parse(json_dict[key], key, *args) if parse else json_dict[key]


# Values --------------------------------------------------------------------------------------------------------------


def number(value, what) -> float:
    """Return a coordinate or length in pixels, given as 12.5 or "12.5"; finite, at most `LARGEST_COORDINATE`."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = float(value)
    if type(value) not in NUMBERS:
        raise RowFault(f"{what} is {shown(value)}, required a number")
    if not abs(value) <= LARGEST_COORDINATE:  # written so that NaN fails too
        raise RowFault(f"{what} {shown(value)} is not a number of pixels")
    return float(value)


def whole_number(value, what) -> int:
    """Return a non-negative integer, given as 7, 7.0 or "7"."""
    whole = _whole(value)
    if whole is None:
        raise RowFault(f"{what} is {shown(value)}, required a whole number")
    return whole


def one_of(value, what, known) -> int:
    """Return a code that must be in `known`, in any spelling that `whole_number` accepts."""
    whole = _whole(value)
    if whole is None or whole not in known:
        raise RowFault(f"{what} is {shown(value)}, required {', '.join(str(int(k)) for k in known)}")
    return whole


def identifier(value, what) -> int | str:
    """Return an id: an integer in any spelling that `whole_number` accepts (7 and "7" are one id), or other text."""
    whole = _whole(value)
    if whole is not None:
        return whole
    if isinstance(value, str) and value:
        return value
    raise RowFault(f"{what} is {shown(value)}, required a whole number or text")


def _whole(value):
    """Return a value as a non-negative integer, or None if it is not one."""
    if type(value) is int:
        return value if value >= 0 else None
    if isinstance(value, str):
        match = _WHOLE_NUMBER.fullmatch(value)
        return int(match[1]) if match else None
    is_whole = type(value) is float and 0 <= value < _MAX_WHOLE_FLOAT and value.is_integer()
    return int(value) if is_whole else None


def box(x_min, y_min, x_max, y_max) -> tuple[float, float, float, float]:
    """Return a box from its corners, which must enclose an area and be coordinates that `number` accepts."""
    if not (x_max > x_min and y_max > y_min):
        raise RowFault(f"box {x_min:g} {y_min:g} {x_max:g} {y_max:g} has no area")
    for value in (x_min, y_min, x_max, y_max):
        number(value, "corner of the box")
    return x_min, y_min, x_max, y_max


def keypoint(x, y, code, name, visibility_of_code) -> tuple[float, float, int]:
    """Return a keypoint as x, y and `Visibility`.

    Args:
        x, y: pixels.
        code: the format's visibility code.
        name: name of the keypoint, for the message.
        visibility_of_code: every code of the format → `Visibility`.
    """
    visibility = visibility_of_code[one_of(code, f"visibility of {name}", visibility_of_code)]
    return number(x, f"x of {name}"), number(y, f"y of {name}"), visibility


def text(value, what) -> str:
    """Return a string."""
    if not isinstance(value, str):
        raise RowFault(f"{what} is {shown(value)}, required text")
    return value


def photo_name(value, what) -> str:
    """Return a photo's normalised relative path, which must lie inside the dataset and have no control characters."""
    text(value, what)
    if has_control_characters(value):
        raise RowFault(f"{what} {shown(value)} has control characters or is not UTF-8")
    path = PurePosixPath(value)
    if not path.name or path.is_absolute() or ".." in path.parts:
        raise RowFault(f"{what} {shown(value)} is not a path inside the dataset")
    return str(path)


def has_control_characters(text) -> bool:
    """Check for control characters and undecodable bytes (surrogates), which photo names must not have.

    Other non-printable characters are allowed because real file names have them: the narrow no-break space in names
    of macOS screenshots, the zero-width joiner of emoji.
    """
    return not text.isprintable() and any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


def photo_paths(folders, photo) -> list[str]:
    """Return a list with the photo's path in the first folder that has it, or its paths in all folders if none has."""
    paths = [os.path.join(folder, photo) for folder in folders]
    return next(([path] for path in paths if os.path.isfile(path)), paths)


def shown(value, limit=60) -> str:
    """Format a value for a message: printable, one line, at most about `limit` characters."""
    if isinstance(value, str):
        return escaped(value if len(value) <= limit else value[:limit] + "...")
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = json.dumps(value)  # null, true, false, NaN or a number, as spelt in the file
    return text if len(text) <= limit else text[:limit] + "..."


def escaped(text) -> str:
    """Return a string quoted and escaped to printable ASCII; an undecodable byte is shown as `\\xff`."""
    return re.sub(r"\\udc([89a-f][0-9a-f])", r"\\x\1", ascii(text))
