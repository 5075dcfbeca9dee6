"""What the tests of damaged files share: how text tables are damaged, and the rules of values, read a second time.

The rules share no code with the readers: what a reader accepts must be what they say.
"""

import re
import unicodedata

import numpy as np
from hypothesis import strategies as st

MARK = b"\xef\xbb\xbf"  # byte order mark

# Rules ---------------------------------------------------------------------------------------------------------------


class Wrong(Exception):
    """The second reading finds a fault."""


def need(condition):
    if not condition:
        raise Wrong


def pixels(value):
    if type(value) is str:
        need(re.fullmatch(r"-?[0-9]+([.][0-9]+)?", value) and len(value) < 300)
        value = float(value)
    need(type(value) in (int, float) and -1e6 <= value <= 1e6)
    return float(value)


def whole(value):
    """A whole number from 0, of one of the three spellings."""
    if type(value) is str:
        need(re.fullmatch(r"[0-9]+(\.0+)?", value) and len(value) < 1000)
        value = float(value)
    need(type(value) in (int, float) and value >= 0 and value % 1 == 0)
    need(type(value) is int or value < 2**53)
    return int(value)


def one_of(value, known):
    need(whole(value) in known)
    return whole(value)


def corners(x_min, y_min, x_max, y_max):
    need(x_min < x_max and y_min < y_max)
    return tuple(pixels(value) for value in (x_min, y_min, x_max, y_max))


def photo_name(value):
    """The shortest spelling of a photo's path."""
    need(type(value) is str and not value.startswith("/"))
    need(not any(unicodedata.category(character) in ("Cc", "Cs") for character in value))
    parts = [part for part in value.split("/") if part not in ("", ".")]
    need(parts and ".." not in parts)
    return "/".join(parts)


def plain(garment_type, box_xyxy, keypoints, variation=0):
    """A garment as plain values; keypoints as slot → (x, y, code)."""
    codes = [keypoints.get(slot, (0, 0, 0))[2] for slot in range(8)]
    keypoints_xy = [list(keypoints[slot][:2]) if codes[slot] > 0 else [0.0, 0.0] for slot in range(8)]
    box_xyxy, keypoints_xy = (np.array(values, np.float32).tolist() for values in (box_xyxy, keypoints_xy))
    return int(garment_type), box_xyxy, keypoints_xy, codes, variation


def plain_garments(sample):
    garments = sample.garments
    columns = (garments.types, garments.boxes_xyxy, garments.keypoints_xy, garments.visibility, garments.variations)
    return list(zip(*(column.tolist() for column in columns), strict=True))


# Damage: functions of lines, the index of one, a number that chooses a place in it, and what to do there --------------


def _of_fields(change):
    """Make a function of a line's fields one of the lines; a comma, where there is one, is what separates fields."""

    def damage(lines, line, place, what):
        separator = b"," if b"," in lines[line] else None
        fields = lines[line].split(separator) or [b""]
        change(fields, place % len(fields), what)
        lines[line] = (separator or b" ").join(fields)

    return damage


def _swap(fields, place, other):
    other %= len(fields)
    fields[place], fields[other] = fields[other], fields[place]


_set_field = _of_fields(lambda fields, place, token: fields.__setitem__(place, token))
_insert_field = _of_fields(lambda fields, place, token: fields.insert(place, token))
_drop_field = _of_fields(lambda fields, place, _: fields.pop(place))
_swap_fields = _of_fields(_swap)
_shuffle_fields = _of_fields(lambda fields, _, random: random.shuffle(fields))


def _copy_and_set_field(lines, line, place, token):
    lines.append(lines[line])
    _set_field(lines, len(lines) - 1, place, token)


def _truncate(lines, line, place, _):
    lines[line] = lines[line][: place % (len(lines[line]) + 1)]
    del lines[line + 1 :]


def _copy_line(lines, line, place, _):
    lines.insert(place % (len(lines) + 1), lines[line])


def _drop_line(lines, line, *_):
    del lines[line]


def _exchange_lines(lines, line, place, _):
    place %= len(lines)
    lines[line], lines[place] = lines[place], lines[line]


def table_damage(tokens):
    """A strategy of pairs: one of the functions above and what it does.

    Args:
        tokens: strategy of fields to put into a line, bytes.
    """
    return st.one_of(
        st.tuples(st.just(_set_field), tokens),
        st.tuples(st.sampled_from([_set_field, _insert_field, _copy_and_set_field]), tokens),
        st.tuples(st.just(_swap_fields), st.integers(0, 30)),
        st.tuples(st.sampled_from([_drop_field, _truncate, _copy_line, _drop_line, _exchange_lines]), st.none()),
        st.tuples(st.just(_shuffle_fields), st.randoms(use_true_random=False)),
    )


def damaged(lines, edits):
    """Return a file's lines after a list of (line, place, (function, what)); a line that is not there is the last."""
    lines = list(lines)
    for line, place, (damage, what) in edits:
        if lines:
            damage(lines, min(line, len(lines) - 1), place, what)
    return lines
