"""The division of a catalogue into blocks, kept in the output folder, and which of them are finished.

The output folder has

    part-00000017.parquet     block 17, finished: one row per photo, see `cspn_tf.bulk.table`
    _annotate/run.json        what is annotated with what, written when the division is complete
    _annotate/photos-*.parquet  the photos in the order of the blocks, of the token that run.json names
    _annotate/unfinished/     temporary files

A block is the same photos in every run, and its file appears at once, complete: a run that is killed anywhere loses
the blocks in work, and the next one does exactly those that have no file. Readers of Parquet folders skip `_annotate`.
"""

import dataclasses
import hashlib
import io
import itertools
import json
import posixpath
import re
import secrets

from cspn_tf.bulk.catalogue import Photo
from cspn_tf.bulk.stores import make_folder, names_in, open_store, read_whole, store_errors, write_whole
from cspn_tf.console import CallError, UserError

STATE = "_annotate"
UNFINISHED = f"{STATE}/unfinished"
_RUN = f"{STATE}/run.json"
PART = re.compile(r"part-(\d{8})\.parquet")
# The list of photos has this many rows a file, and row groups of the smallest block.
_ROWS_PER_FILE = 65_536
SMALLEST_BLOCK, LARGEST_BLOCK = 64, 8_192
_FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Blocks:
    """A catalogue divided into blocks.

    Attributes:
        out: absolute path or URI of the output folder, without a slash at the end.
        about: what is annotated with what: catalogue, columns, model and its fingerprint; a dict of strings.
        kind, bytes_column: as in `cspn_tf.bulk.catalogue.Catalogue`.
        num_photos: number of photos.
        num_repeated: how often a path stood in the catalogue again; such a photo is annotated once.
        block_size: photos per block, a power of two; the last one may be smaller.
        token: in the names of the files that list the photos.
    """

    out: str
    about: dict
    kind: str
    bytes_column: str | None
    num_photos: int
    num_repeated: int
    block_size: int
    token: str

    @property
    def num_blocks(self) -> int:
        """Number of blocks."""
        return -(-self.num_photos // self.block_size)

    def size_of(self, block) -> int:
        """Number of photos in a block."""
        return min(self.block_size, self.num_photos - block * self.block_size)

    def photos(self, block) -> list[Photo]:
        """Read the list of a block's photos."""
        import pyarrow.parquet as pq

        first = block * self.block_size
        file, row = divmod(first, _ROWS_PER_FILE)
        groups = range(row // SMALLEST_BLOCK, -(-(row + self.size_of(block)) // SMALLEST_BLOCK))
        content = read_whole(f"{self.out}/{_list_name(self.token, file)}")
        table = pq.ParquetFile(io.BytesIO(content)).read_row_groups(list(groups))
        return [Photo(**row) for row in table.to_pylist()]

    def finished(self) -> set[int]:
        """Return the numbers of the finished blocks."""
        return {int(match[1]) for match in map(PART.fullmatch, names_in(self.out)) if match}

    def write(self, block, content) -> None:
        """Write a finished block's Parquet file, bytes; it appears at once and complete."""
        try:
            write_whole(self.out, f"part-{block:08d}.parquet", content, UNFINISHED)
        except UserError:
            if block not in self.finished():  # another run on the same folder may have finished it, and tidied up
                raise

    def tidy(self) -> None:
        """Delete temporary files, after the last block."""
        store, root = open_store(self.out)
        unfinished = posixpath.join(root, UNFINISHED)
        with store_errors(self.out):
            if store.exists(unfinished):
                store.rm(unfinished, recursive=True)


def _list_name(token, file) -> str:
    return f"{STATE}/photos-{token}-{file:06d}.parquet"


def divide(out, catalogue, about, num_workers) -> Blocks:
    """List a catalogue and divide it into blocks; what an interrupted call left is replaced.

    Args:
        out: path or URI of the output folder.
        catalogue: a `cspn_tf.bulk.catalogue.Catalogue`.
        about: see `Blocks`; if it has an `id column`, a repeated id is an error, else a repeated path is dropped.
        num_workers: the block size is chosen so that each has several blocks.

    Raises:
        UserError: no photo, a repeated id, or the folder cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    _check_empty(out)
    repeated = []
    photos = _without_repeated(catalogue, about.get("id column"), repeated)
    num_photos, token = 0, secrets.token_hex(4)
    schema = pa.schema([("id", pa.string()), ("uri", pa.string()), ("start", pa.int64()), ("stop", pa.int64())])
    for file in itertools.count():
        rows = list(itertools.islice(photos, _ROWS_PER_FILE))
        if not rows:
            break
        buffer = io.BytesIO()
        table = pa.Table.from_pylist([photo._asdict() for photo in rows], schema)
        pq.write_table(table, buffer, row_group_size=SMALLEST_BLOCK)
        write_whole(out, _list_name(token, file), buffer.getvalue(), UNFINISHED)
        num_photos += len(rows)
    if not num_photos:
        raise UserError(f"{about['catalogue']}: no photo in it")
    size = SMALLEST_BLOCK
    while size < LARGEST_BLOCK and 16 * num_workers * size < num_photos:
        size *= 2
    blocks = Blocks(str(out), about, catalogue.kind, catalogue.bytes_column, num_photos, len(repeated), size, token)
    content = {"format": _FORMAT, **dataclasses.asdict(blocks)}
    del content["out"]
    try:
        write_whole(out, _RUN, json.dumps(content, indent=2).encode(), UNFINISHED, replace=False)
    except FileExistsError as error:
        raise UserError(f"{out} was begun by another run at the same time: run the command again to join it") from error
    return blocks


def _check_empty(out):
    """Create the output folder; it may hold nothing but an unfinished list."""
    make_folder(out)
    if others := names_in(out) - {STATE}:
        raise CallError(f"{out} is not empty, and not a folder that this command wrote: {min(others)}")


def _without_repeated(catalogue, id_column, repeated):
    """Yield photos whose id has not come yet; append the others' ids to `repeated`, if they are files."""
    if catalogue.is_distinct:
        yield from catalogue.photos
        return
    seen = set()
    for photo in catalogue.photos:
        # Digests take less memory than ids: some 80 bytes a photo.
        digest = hashlib.blake2b(photo.id.encode(), digest_size=12).digest()
        if digest not in seen:
            seen.add(digest)
            yield photo
        elif id_column or catalogue.kind != "file":
            raise UserError(f"{photo.id!r} in {photo.uri} is the id of another photo too")
        else:
            repeated.append(photo.id)


def read_blocks(out) -> Blocks | None:
    """Read the division in an output folder; None if there is none yet.

    Raises:
        UserError: the folder cannot be read, or another version of this package wrote it.
    """
    try:
        content = json.loads(read_whole(f"{out}/{_RUN}"))
        if content.pop("format") != _FORMAT:
            raise ValueError("another format version")
        return Blocks(out=str(out), **content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{out}/{_RUN} cannot be read: {error}") from error
