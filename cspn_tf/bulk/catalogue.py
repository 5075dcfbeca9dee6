"""List the photos of a catalogue, and read them.

A catalogue is a folder, a glob pattern, a `.txt` or `.csv` list, a Parquet dataset with paths or with the files
themselves, or TFRecords that `training.prepare` wrote; on any store that fsspec opens. Listing yields one `Photo` per
photo: a stable id, and the location of its bytes, which `read_photos` reads on any machine.
"""

import contextlib
import csv
import dataclasses
import io
import itertools
import posixpath
import urllib.parse
from collections.abc import Iterator
from typing import NamedTuple

from cspn_tf.bulk.stores import open_store, read_whole, store_errors, uri_of
from cspn_tf.console import CallError, UserError, one_line
from cspn_tf.contract import PHOTO_SUFFIXES, PICTURE_SUFFIX
from cspn_tf.threads import map_in_order

# Column names recognised as paths without --path-column, first match.
PATH_COLUMNS = ("path", "uri", "url", "file", "filename", "file_name", "photo", "image")
# Threads that read photos ahead, few at a time, so that memory use stays constant.
_READ_THREADS = 4
_ROWS_AT_ONCE = 64
# Size of the read buffer for Parquet columns.
_BUFFER_BYTES = 1 << 20
# Framing of a TFRecord: length and its checksum before the record, checksum of the record after it.
_RECORD_HEAD, _RECORD_TAIL = 12, 4


class Photo(NamedTuple):
    """One photo of a catalogue.

    Attributes:
        id: unique in the catalogue: the path as given there, or the value of the id column.
        uri: the file that contains the photo.
        start, stop: byte range in a TFRecord file, or (row, row + 1) in a Parquet file; None for a whole file.
    """

    id: str
    uri: str
    start: int | None = None
    stop: int | None = None


@dataclasses.dataclass(frozen=True)
class Columns:
    """Names of the columns of a list or Parquet dataset, as given by the caller; None if not given.

    A dot selects a field of a struct: `image.bytes`.
    """

    id: str | None = None
    path: str | None = None
    bytes: str | None = None


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """A catalogue's photos.

    Attributes:
        kind: how a photo is read: `file`, `record` of a TFRecord file, or `row` of a Parquet file.
        photos: the photos, listed as they are consumed.
        bytes_column: for `row`: the column that contains the files as bytes.
        is_distinct: whether ids are unique by construction, so that no check for duplicates is needed.
    """

    kind: str
    photos: Iterator[Photo]
    bytes_column: str | None = None
    is_distinct: bool = False


def open_catalogue(source, columns=Columns()) -> Catalogue:
    """Recognise the kind of a catalogue, and list it lazily.

    Args:
        source: path, glob pattern or URI.
        columns: `Columns`.

    Raises:
        CallError: nothing exists at `source`, its kind is not recognised, or it lacks a named column.
        UserError: raised while listing: a row without a path, or a damaged file.
    """
    store, root = open_store(source)
    files = _tables_or_records(store, root, source)
    suffix = posixpath.splitext(files[0])[1].lower() if files else ""
    if suffix not in (".csv", ".parquet") and any(dataclasses.astuple(columns)):
        raise CallError(f"{source} has no columns: column options are for .csv and Parquet")
    if suffix == ".parquet":
        return _parquet(store, files, columns)
    if suffix == ".tfrecord":
        return Catalogue("record", itertools.chain.from_iterable(_records(store, file) for file in files))
    if suffix == ".csv":
        return Catalogue("file", _csv_rows(store, files[0], columns))
    if suffix == ".txt":
        return Catalogue("file", _lines(store, files[0]))
    return Catalogue("file", _photos_below(store, root, source), is_distinct=True)


def _tables_or_records(store, root, source) -> list[str]:
    """Return the files that list or contain the photos, all with one suffix; none if the photos are separate files."""
    is_one = store.isfile(root)
    try:
        with store_errors(source):
            found = [root] if is_one else store.glob(root) if _is_pattern(store, root) else store.ls(root, detail=False)
    except FileNotFoundError:
        found = []
    if not found:
        raise CallError(f"{source}: no such file or folder, or the folder is empty")
    has_photos = not is_one and any(path.lower().endswith(PHOTO_SUFFIXES) for path in found)
    if not is_one:
        found = sorted(path for path in found if not posixpath.basename(path).startswith((".", "_")))
    lists = [] if has_photos else [path for path in found if path.lower().endswith((".csv", ".txt"))]
    if len(lists) > 1 and _is_pattern(store, root):
        raise CallError(f"{source} matches {len(lists)} lists: give one, or Parquet files")
    # A prepared dataset has a contact sheet beside its records. A table or list beside photos is not a catalogue.
    for suffix in (".tfrecord", *(() if has_photos else (".parquet",)), *((".csv", ".txt") if is_one else ())):
        if files := [path for path in found if path.lower().endswith(suffix)]:
            return files
    return []


def _is_pattern(store, path) -> bool:
    """Check whether a path is a glob pattern; a path that exists literally is not."""
    return any(character in path for character in "*?[") and not store.exists(path)


# Photos as files ------------------------------------------------------------------------------------------------------


def _photos_below(store, root, source):
    """Yield the photos that match a pattern or lie below a folder, sorted per folder, without hidden files."""
    if _is_pattern(store, root):
        for path in sorted(store.glob(root)):
            name = posixpath.basename(path)
            if not name.startswith(".") and not name.endswith(PICTURE_SUFFIX) and store.isfile(path):
                yield _file(uri_of(store, path))
    elif store.isdir(root):
        for path in _walk(store, root):
            yield Photo(_text(posixpath.relpath(path, root), source), uri_of(store, path))
    elif root.lower().endswith(PHOTO_SUFFIXES):
        yield _file(uri_of(store, root))
    else:
        known = ", ".join((*PHOTO_SUFFIXES, ".txt", ".csv", ".parquet", ".tfrecord"))
        raise CallError(f"{source} must be one of {known}, or a folder of these")


def _walk(store, folder):
    """Yield the photos below a folder; symlinks to folders are not followed.

    fsspec's own `walk` silently omits a folder that cannot be read, with all folders below it.
    """
    with store_errors(uri_of(store, folder)):
        entries = sorted(store.ls(folder, detail=True), key=lambda entry: entry["name"])
    folders = []
    for entry in entries:
        path = entry["name"].rstrip("/")
        name = posixpath.basename(path)
        if name.startswith(".") or path == folder.rstrip("/"):
            continue
        if entry["type"] == "directory":
            folders.append(path)
        # Reading from a pipe would wait for ever.
        elif _is_photo(name) and (entry["type"] == "file" or entry.get("islink")):
            yield path
    for path in folders:
        yield from _walk(store, path)


def _is_photo(name):
    return name.lower().endswith(PHOTO_SUFFIXES) and not name.endswith(PICTURE_SUFFIX)


def _file(uri):
    return Photo(_text(uri, uri), uri)


def _text(name, where):
    """Return a name after checking that it can be written as UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{where!a}: {name!a} is not UTF-8: rename it") from error
    return name


# Lists ----------------------------------------------------------------------------------------------------------------


def _lines(store, file):
    """Yield a photo for each non-empty line; relative paths are resolved against the list's folder."""
    with _opened_text(store, file) as lines:
        for line in lines:
            if line := line.rstrip("\r\n"):
                yield Photo(line, _beside(store, file, line))


def _csv_rows(store, file, columns):
    where = uri_of(store, file)
    with _opened_text(store, file) as lines:
        rows = csv.DictReader(lines, strict=True)
        if columns.bytes:
            raise CallError(f"{where}: a bytes column works with Parquet only")
        try:
            names = rows.fieldnames or []
            _check_columns(columns, names, where)
            path, id_ = _path_column(columns, names, where), columns.id
            for row in rows:
                if not row[path] or (id_ and not row[id_]):
                    raise UserError(f"{where}, line {rows.line_num}: no {path if not row[path] else id_}")
                yield Photo(row[id_ or path], _beside(store, file, row[path]))
        except csv.Error as error:
            raise UserError(f"{where}, line {max(rows.line_num, 1)}: {error}") from error


@contextlib.contextmanager
def _opened_text(store, file):
    try:
        with store.open(file, "rb") as binary, io.TextIOWrapper(binary, "utf-8-sig", newline="") as lines:
            yield lines
    except UnicodeDecodeError as error:
        raise UserError(f"{uri_of(store, file)} is not UTF-8: {error.reason} at byte {error.start}") from error


def _check_columns(columns, names, where):
    """Check that the given columns exist."""
    for name in filter(None, dataclasses.astuple(columns)):
        if name not in names:
            raise CallError(f"{where} has no column {name!r}: it has {', '.join(names)}")


def _path_column(columns, names, where):
    """Return the column of paths: the one given, else the first in `PATH_COLUMNS` that exists."""
    for name in (columns.path, *PATH_COLUMNS):
        if name in names:
            return name
    raise CallError(f"{where}: give the column of paths with --path-column, one of {', '.join(names) or 'none'}")


def _beside(store, file, path):
    """Return the URI of a path in a list: relative paths are resolved against the list's folder."""
    if "://" in path or path.startswith("/"):
        return path
    if "://" in file:  # http, whose paths are whole URIs
        return urllib.parse.urljoin(file, path)
    return uri_of(store, posixpath.normpath(posixpath.join(posixpath.dirname(file), path)))


# Parquet --------------------------------------------------------------------------------------------------------------


def _parquet(store, files, columns) -> Catalogue:
    where = uri_of(store, files[0])
    if columns.bytes and columns.path:
        raise CallError("give --path-column or --bytes-column, not both")
    with _opened_parquet(store, files[0]) as parquet:
        types = {column.path: _kind(column) for column in parquet.schema}
    _check_columns(columns, types, where)
    texts, binary = ([name for name, kind in types.items() if kind == wanted] for wanted in ("text", "binary"))
    for name, kind, among in ((columns.path, "text", texts), (columns.bytes, "binary", binary)):
        if name and name not in among:
            raise CallError(f"{where}: column {name!r} must be {kind}, it is {types[name]}")
    held = columns.bytes or (binary[0] if len(binary) == 1 and not columns.path else None)
    if not held:
        return Catalogue("file", _parquet_rows(store, files, _path_column(columns, texts, where), columns.id))
    path = next((name for name in PATH_COLUMNS if name in texts), None)
    if path and not columns.bytes:
        raise CallError(f"{where} has paths in {path!r} and bytes in {held!r}: give --path-column or --bytes-column")
    return Catalogue("row", _parquet_rows(store, files, None, columns.id), held)


@contextlib.contextmanager
def _opened_parquet(store, file):
    """Open a Parquet file for streaming reads.

    Raises:
        UserError: the file is damaged, or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with store.open(file, "rb") as binary:
            yield pq.ParquetFile(binary, pre_buffer=False, buffer_size=_BUFFER_BYTES)
    except (pa.ArrowException, KeyError, OSError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise  # of the store; Arrow's own, about damaged content, have none
        raise UserError(f"{uri_of(store, file)} cannot be read as Parquet: {error}") from error


def _kind(column) -> str:
    """Return what a leaf column of a Parquet file contains: `text`, `binary`, or the name of another type."""
    kind = column.logical_type.type if column.logical_type.type != "NONE" else column.physical_type
    if column.max_repetition_level:
        kind = "list"
    return {"STRING": "text", "BYTE_ARRAY": "binary"}.get(kind, kind.lower())


def _parquet_rows(store, files, path_column, id_column):
    """Yield a photo for each row; `path_column` is None if the rows contain the photos."""
    wanted = list(dict.fromkeys(filter(None, (path_column, id_column))))
    # With lists in several folders, equal relative paths are different photos.
    is_one_folder = len({posixpath.dirname(file) for file in files}) == 1
    for file in files:
        where, number = uri_of(store, file), 0
        with _opened_parquet(store, file) as parquet:
            if not wanted:
                yield from (Photo(f"{where}#{row}", where, row, row + 1) for row in range(parquet.metadata.num_rows))
                continue
            for batch in parquet.iter_batches(columns=wanted):
                values = {name: _leaf(batch, name).to_pylist() for name in wanted}
                for index in range(len(batch)):
                    for name in wanted:
                        if values[name][index] in (None, ""):
                            raise UserError(f"{where}, row {number}: no {name}")
                    given = _id(values[id_column][index], f"{where}, row {number}") if id_column else None
                    if path_column:
                        path = values[path_column][index]
                        uri = _beside(store, file, path)
                        yield Photo(given or (path if is_one_folder else uri), uri)
                    else:
                        yield Photo(given, where, number, number + 1)
                    number += 1


def _id(value, where) -> str:
    """Return a photo's id as text; some writers do not mark columns of text as such, whose values are then bytes."""
    try:
        return value.decode() if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: the id is not UTF-8") from error


def _leaf(batch, name):
    """Return a column by its name; a dot selects a field of a struct."""
    import pyarrow.compute as pc

    if name in batch.schema.names:
        return batch.column(name)
    first, *rest = name.split(".")
    return pc.struct_field(batch.column(first), rest)


# TFRecords ------------------------------------------------------------------------------------------------------------


def _records(store, file):
    """Yield a photo for each record of a shard that `training.prepare` wrote."""
    where, num_bytes = uri_of(store, file), store.size(file)
    with store.open(file, "rb") as shard:
        start = _RECORD_HEAD
        while head := shard.read(_RECORD_HEAD):
            stop = start + int.from_bytes(head[:8], "little")
            if stop + _RECORD_TAIL > num_bytes:
                raise UserError(f"{where} ends within a record, or is not an uncompressed TFRecord file")
            name = _feature(shard.read(stop - start), "photo/name", where).decode()
            shard.read(_RECORD_TAIL)
            yield Photo(name, where, start, stop)
            start = stop + _RECORD_TAIL + _RECORD_HEAD


def _feature(record, name, where):
    import tensorflow as tf

    try:
        (value,) = tf.train.Example.FromString(record).features.feature[name].bytes_list.value
    except Exception as error:  # DecodeError, or no such feature
        raise UserError(f"{where} is not a shard of a prepared dataset: no {name} in a record") from error
    return value


# Reading --------------------------------------------------------------------------------------------------------------


def read_photos(kind, photos, bytes_column=None):
    """Read photos, prefetching a few in threads.

    Args:
        kind, bytes_column: as in `Catalogue`.
        photos: list of `Photo`.

    Yields:
        The bytes of each photo's file, in order; for a file that cannot be read, a string with the reason.
    """
    if kind == "row":
        for _, rows in itertools.groupby(photos, lambda photo: photo.uri):
            yield from _read_rows(list(rows), bytes_column)
        return
    with contextlib.closing(
        map_in_order(_read_record if kind == "record" else _read_file, photos, _READ_THREADS)
    ) as found:
        yield from found


def _read_file(photo):
    try:
        return read_whole(photo.uri)
    except (OSError, CallError) as error:
        return _why(error)


def _read_record(photo):
    try:
        return _feature(read_whole(photo.uri, photo.start, photo.stop), "photo/bytes", photo.uri)
    except (OSError, UserError) as error:
        return _why(error)


def _read_rows(photos, column):
    """Read consecutive rows of one Parquet file, from only the row groups that contain them."""
    start, stop, num_read = photos[0].start, photos[-1].stop, 0
    try:
        with _opened_parquet(*open_store(photos[0].uri)) as parquet:
            sizes = [parquet.metadata.row_group(index).num_rows for index in range(parquet.num_row_groups)]
            ends = list(itertools.accumulate(sizes))
            groups = [i for i, end in enumerate(ends) if end > start and end - sizes[i] < stop]
            batches = parquet.iter_batches(_ROWS_AT_ONCE, row_groups=groups, columns=[column])
            values = itertools.chain.from_iterable(_leaf(batch, column) for batch in batches)
            num_before = start - (ends[groups[0]] - sizes[groups[0]]) if groups else 0
            for value in itertools.islice(values, num_before, num_before + len(photos)):
                yield value.as_py() or "the row has no photo"
                num_read += 1
        if num_read < len(photos):
            raise UserError("the file has fewer rows than when it was listed")
    except (OSError, UserError) as error:
        yield from [_why(error)] * (len(photos) - num_read)


def _why(error):
    return getattr(error, "strerror", None) or one_line(error) or type(error).__name__
