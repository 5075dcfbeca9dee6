"""Whatever is done to the DeepFashion text files, no label is ever wrong.

A small dataset of each variant is damaged at random. A second reading of the damaged text, `_oracle`, which shares
nothing with the reader, says which photos can be used and what their labels are; the reader must say the same.
"""

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cspn_tf.console import UserError
from cspn_tf.data.deepfashion import read_deepfashion
from tests.data import mutations
from tests.data.deepfashion_files import FILES, HEADERS, ITEMS, KEYPOINTS, NAMES, PARTITION, STATUSES, make_files
from tests.data.mutations import MARK, Wrong, need, one_of, photo_name, pixels

# The second reading --------------------------------------------------------------------------------------------------


class _FileFault(Exception):
    """The text is no dataset."""


def _tokens(line):
    return re.findall("[^ \t\r\n\v\f]+", line)


def _rows(content):
    """Split a file's text, one character a byte, into its header and its rows, each with the number of its line."""
    text = content.decode("latin-1")
    lines = [_tokens(line) for line in (text[3:] if text[:3] == "ï»¿" else text).split("\n")]
    rows = [(number, tokens) for number, tokens in enumerate(lines, 1) if number > 2 and tokens]
    try:
        need(len(lines) > 1 and len(lines[0]) == 1 and mutations.whole(lines[0][0]) == len(rows))
    except Wrong:
        raise _FileFault
    return " ".join(lines[1]), rows


def _variant_of(box_header, landmark_header, partition_header):
    for variant, (boxes, landmarks, partition) in HEADERS.items():
        known = [" ".join([landmarks, *KEYPOINTS[: 3 * k]]) for k in range(1, 9)]
        if box_header == boxes and landmark_header in known and partition_header in (partition, None):
            return variant
    raise _FileFault


def _oracle(contents, root, landmark_file, own_splits):
    """Read a dataset photo by photo, and every file anew for each.

    Args:
        contents: of the boxes, the landmarks and the partition, bytes.
        root: the dataset's folder.
        landmark_file: name of the landmarks' file in it.
        own_splits: as of the reader.

    Returns:
        variant: its name.
        photos: photo name, one character a byte → what a `Sample` of it says, or None for what cannot be used.

    Raises:
        _FileFault: it is no dataset.
    """
    (box_header, boxes), (landmark_header, landmarks) = _rows(contents[0]), _rows(contents[1])
    partition_header, partition = _rows(contents[2]) if own_splits else (None, [])
    variant = _variant_of(box_header, landmark_header, partition_header)
    num_names = 2 if partition_header and "pair" in partition_header else 1
    names = {tokens[0] for _, tokens in boxes + landmarks}
    names |= {name for _, tokens in partition for name in tokens[:num_names]}
    photos = {}
    for name in names:
        box_rows, landmark_rows = ([row for row in rows if row[1][0] == name] for rows in (boxes, landmarks))
        split_rows = [tokens for _, tokens in partition if name in tokens[:num_names]]
        try:
            path = f"{root}/{photo_name(_decoded(name))}"
            labels = _labels(variant, _only(box_rows), _only(landmark_rows))
            item = _item_and_split(variant, split_rows) if own_splits else (_folder_item(variant, name), None)
        except Wrong:
            photos[name] = None
        else:
            photos[name] = (*item, f"{root}/{landmark_file}:{landmark_rows[0][0]}", path, [labels])
    return variant, photos


def _decoded(name):
    try:
        return name.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        raise Wrong


def _only(rows):
    need(len({tuple(tokens) for _, tokens in rows}) == 1)
    return rows[0][1]


def _item_and_split(variant, rows):
    num_columns = len(HEADERS[variant][2].split())
    num_names = num_columns - 2 if "item_id" in HEADERS[variant][2] else 1
    need(rows and all(len(tokens) == num_columns for tokens in rows))
    said = {tuple(tokens[num_names:]) for tokens in rows}
    need(len(said) == 1)
    *item, status = said.pop()
    need(status in STATUSES[variant])
    need(all("!" <= character <= "~" for character in "".join(item)))
    return (*item, STATUSES[variant][status]) if item else (None, STATUSES[variant][status])


def _folder_item(variant, name):
    if "item_id" not in HEADERS[variant][2]:
        return None
    *_, folder, _ = ["", *photo_name(_decoded(name)).split("/")]
    return folder if re.fullmatch("id_[0-9]+", folder) else None


def _labels(variant, box, landmarks):
    box_names = HEADERS[variant][0].split()
    need(len(box) == len(box_names))
    box = dict(zip(box_names, box, strict=True))
    box_xyxy = mutations.corners(*(pixels(box[name]) for name in ("x_1", "y_1", "x_2", "y_2")))

    fields = landmarks[1:]
    need(fields)
    garment_type = one_of(fields.pop(0), {1, 2, 3})
    if "clothes_type" in box:
        need(one_of(box["clothes_type"], {1, 2, 3}) == garment_type)
    one_of(box.get("pose_type", "1"), {1, 2, 3, 4, 5, 6})
    one_of(box.get("source_type", "1"), {1, 2})
    variation = 0
    if "variation_type" in HEADERS[variant][1]:
        need(fields)
        variation = one_of(fields.pop(0), {1, 2, 3, 4, 5, 6} if "In-shop" in variant else {1, 2, 3, 4, 5}) % 6

    slots = {1: [0, 1, 2, 3, 6, 7], 2: [4, 5, 6, 7], 3: [0, 1, 2, 3, 4, 5, 6, 7]}[garment_type]
    need(len(fields) in (24, 3 * len(slots)))
    need(all(token.strip("0") == "" for token in fields[3 * len(slots) :]))
    points = {}
    for slot, seen, x, y in zip(slots, fields[::3], fields[1::3], fields[2::3], strict=False):
        x, y, seen = pixels(x), pixels(y), one_of(seen, {0, 1, 2})
        need(seen < 2 or x == y == 0)
        points[slot] = x, y, {0: 2, 1: 1, 2: -1}[seen]
    return mutations.plain(garment_type, box_xyxy, points, variation)


def _printable(name):
    text = name.encode("latin-1").decode("utf-8", "surrogateescape")
    is_plain = all(unicodedata.category(character) not in ("Cc", "Cs") for character in text)
    return text if is_plain else ascii(text)[1:-1].replace("\\udc", "\\x")


# Damage --------------------------------------------------------------------------------------------------------------

_NUMBERS = ["-5", "0", "1", "2", "3", "6", "007", "99999999999", "1000000", "1000000.1", "nan", "inf", "-inf", "1e5"]
_NUMBERS += ["0x10", "1_0", "٣", "²", "+3", "1.2.3", ".5", "5.", "-", "--1", "1,5", "7.25", "0" * 12 + "1", "9" * 400]
_TOKENS = [token.encode() for token in _NUMBERS + NAMES + ITEMS]
_TOKENS += [b"train", b"val", b"test", b"query", b"gallery", b"\xff\xfe", b"\x00", b"1\x00", b"\xc2\xa0", b"a" * 20_000]
_TOKENS += [b"../a.jpg", b"/a.jpg", b".", b"img/./img_1.jpg", b"id_3/id_4", b"image_name", b"pose_type"]
_BYTES = [b"\x00", b"\t", b"\r", b"\n", b"\n\n", b" ", b"\xff", b"\x0b", b"\x85", b"\xa0", MARK, b" 1" * 5_000]


def _insert_bytes(lines, line, place, inserted):
    place %= len(lines[line]) + 1
    lines[line] = lines[line][:place] + inserted + lines[line][place:]


def _other_header(lines, line, place, header):
    if len(lines) > 1:
        lines[1] = header


_PIXELS = st.integers(-3, 453).map(lambda value: b"%03d" % value)
_TOKEN = st.sampled_from(_TOKENS) | _PIXELS | st.binary(max_size=3)
_ALL_HEADERS = sorted(
    {
        " ".join([header, *(KEYPOINTS if i == 1 else [])]).encode()
        for each in HEADERS.values()
        for i, header in enumerate(each)
    }
)
_DAMAGE = st.one_of(
    mutations.table_damage(_TOKEN),
    mutations.table_damage(_TOKEN),
    st.tuples(st.just(_insert_bytes), st.sampled_from(_BYTES)),
    st.tuples(st.just(_other_header), st.sampled_from(_ALL_HEADERS)),
)
_ODD_NAMES = [
    b"../a.jpg",
    b"img/../a.jpg",
    b"/a.jpg",
    b".",
    b"img/./a.jpg",
    b"a.jpg",
    b"id_7/a.jpg",
    b"id_\xd9\xa1/a.jpg",
]
_ODD_NAMES += [b"img/\xff.jpg", b"img/\x00.jpg", MARK + b"a.jpg", b"id_\xc3\xa9", b"a" * 20_000, NAMES[1].encode()]
_RENAMED = st.tuples(st.sampled_from([name.encode() for name in NAMES + ITEMS]), st.sampled_from(_ODD_NAMES))
_LINE = st.sampled_from([*range(2, 7)] * 4 + [0, 1])  # mostly a row
_EDITS = st.lists(st.tuples(st.integers(0, 2), st.tuples(_LINE, st.integers(0, 200), _DAMAGE)), max_size=5)


def _damaged(files, renamed, edits, fix_counts, newline, mark):
    """Return the contents of the files after a photo or item has another name in all of them, and after the edits."""
    tables = [[line.replace(*renamed) if renamed else line for line in lines] for lines in files.values()]
    tables = [mutations.damaged(lines, [edit for table, edit in edits if table == n]) for n, lines in enumerate(tables)]
    contents = [b"\n".join(lines) + b"\n" for lines in tables]
    if fix_counts:  # so that most examples get as far as the rows
        for index, content in enumerate(contents):
            _, *rest = content.split(b"\n")
            contents[index] = b"\n".join([b"%d" % sum(bool(row.split()) for row in rest[1:]), *rest])
    return [mark + content.replace(b"\n", newline) for content in contents]


# The property --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """A folder for each variant, which every example writes anew."""
    roots = {}
    for variant in HEADERS:
        roots[variant] = tmp_path_factory.mktemp("deepfashion")
        for file in make_files(variant):
            (roots[variant] / file).parent.mkdir(exist_ok=True)
    return roots


def _check(root, variant, contents, own_splits):
    """Compare the reader with the second reading; return what the reader returned, or None where it refused."""
    for file, content in zip((*FILES[variant], PARTITION), contents, strict=True):
        (root / file).write_bytes(content)
    try:
        wanted_variant, wanted = _oracle(contents, root, FILES[variant][1], own_splits)
    except _FileFault:
        with pytest.raises(UserError) as error:
            read_deepfashion(root, own_splits=own_splits)
        assert re.fullmatch(rf"{root}/({'|'.join((*FILES[variant], PARTITION))}):[12]: .+", str(error.value))
        assert str(error.value).isprintable()
        return None
    result = read_deepfashion(root, own_splits=own_splits)
    read = {
        s.photo.encode().decode("latin-1"): (s.group, s.split, s.where, s.path, mutations.plain_garments(s))
        for s in result.samples
    }
    assert len(read) == len(result.samples)
    assert read == {name: said for name, said in wanted.items() if said}
    assert result.variant == wanted_variant

    unusable = {_printable(name) for name, said in wanted.items() if not said}
    rejected = {row.photo for row in result.rejected}
    assert unusable <= rejected
    assert rejected <= unusable | {sample.photo for sample in result.samples}
    for row in result.rejected:
        file, _, line = row.where.rpartition(":")
        assert file in {str(root / file) for file in (*FILES[variant], PARTITION)}
        assert int(line) > 2
        assert row.reason.isprintable()
        assert len(row.reason) < 1000
        if row.photo not in unusable:  # nothing but a row said twice
            assert row.reason.startswith("duplicate row: ")
            assert row.reason.endswith(" already")
    return result


@pytest.mark.parametrize("own_splits", [True, False])
@pytest.mark.parametrize("variant", HEADERS)
def test_the_undamaged_dataset_is_read_whole(roots, variant, own_splits):
    contents = [b"\n".join(lines) + b"\n" for lines in make_files(variant).values()]
    result = _check(roots[variant], variant, contents, own_splits)
    assert result.variant == variant
    assert [sample.photo for sample in result.samples] == NAMES
    assert result.rejected == []


@pytest.mark.parametrize("variant", HEADERS)
@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    renamed=st.none() | _RENAMED,
    edits=_EDITS,
    fix_counts=st.sampled_from([True] * 9 + [False]),
    newline=st.sampled_from([b"\n", b"\n", b"\r\n", b" \t\n"]),
    mark=st.sampled_from([b""] * 8 + [MARK, MARK, 2 * MARK]),
    own_splits=st.sampled_from([True, True, True, False]),
)
def test_damaged_files_give_right_labels_or_none(roots, variant, renamed, edits, fix_counts, newline, mark, own_splits):
    contents = _damaged(make_files(variant), renamed, edits, fix_counts, newline, mark)
    _check(roots[variant], variant, contents, own_splits)


@pytest.mark.parametrize("variant", HEADERS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(table=st.integers(0, 2), cut=st.integers(0, 10**4), own_splits=st.booleans())
def test_a_file_cut_off_at_any_byte_gives_right_labels_or_none(roots, variant, table, cut, own_splits):
    contents = [b"\n".join(lines) + b"\n" for lines in make_files(variant).values()]
    contents[table] = contents[table][: cut % len(contents[table])]
    _check(roots[variant], variant, contents, own_splits)
