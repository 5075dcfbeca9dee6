"""Divide a catalogue into blocks, record the division in the output folder, and tell which blocks are finished.

Content of the output folder:

    part-00000017.parquet     block 17, finished: one row per photo, see `cspn_tf.bulk.table`
    _annotate/run.json        catalogue, model and block size; written once all photos-*.parquet are
    _annotate/photos-TOKEN-*.parquet  the photos in the order of the blocks; run.json has the TOKEN
    _annotate/unfinished/     temporary files

A block has the same photos in every run, and its file is written atomically. A run that is killed loses only the blocks
in progress; the next run processes exactly the blocks without a file. Readers of Parquet folders skip `_annotate`.
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
from cspn_tf.bulk.stores import names_in, open_store, read_whole, store_errors, write_whole
from cspn_tf.console import CallError, UserError

STATE = "_annotate"
UNFINISHED = f"{STATE}/unfinished"
_RUN = f"{STATE}/run.json"
PART = re.compile(r"part-(\d{8})\.parquet")
# Rows per file of the list of photos: a multiple of every block size, so that a block's photos are in one file.
_ROWS_PER_FILE = 65_536
SMALLEST_BLOCK, LARGEST_BLOCK = 64, 8_192
_FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Blocks:
    """A catalogue divided into blocks.

    Attributes:
        out: absolute path or URI of the output folder, without a trailing slash.
        about: settings of the run: catalogue, columns, batch size, and model with its fingerprint; a JSON-ready dict.
        kind, bytes_column: as in `cspn_tf.bulk.catalogue.Catalogue`.
        num_photos: number of photos.
        num_repeated: number of duplicate paths in a catalogue without ids; each distinct path is annotated once.
        block_size: photos per block, a power of two; the last one may be smaller.
        token: part of the names of the files that list the photos.
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

        file, first = divmod(block * self.block_size, _ROWS_PER_FILE)
        content = read_whole(f"{self.out}/{_list_name(self.token, file)}")
        table = pq.read_table(io.BytesIO(content)).slice(first, self.size_of(block))
        return [Photo(**row) for row in table.to_pylist()]

    def finished(self) -> set[int]:
        """Return the numbers of the finished blocks."""
        return {int(match[1]) for match in map(PART.fullmatch, names_in(self.out)) if match}

    def num_done(self) -> int:
        """Return the number of photos in the finished blocks."""
        return sum(map(self.size_of, self.finished()))

    def write(self, block, content) -> None:
        """Write a finished block's Parquet file atomically; `content` is its bytes."""
        try:
            write_whole(self.out, f"part-{block:08d}.parquet", content, UNFINISHED)
        except UserError:
            if block not in self.finished():  # else another run on the same folder has finished it and tidied up
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
    """List a catalogue and divide it into blocks; the incomplete list of an interrupted call is replaced.

    Args:
        out: path or URI of the output folder.
        catalogue: a `cspn_tf.bulk.catalogue.Catalogue`.
        about: see `Blocks`; if it has an `id column`, a repeated id is an error, else a repeated path is skipped.
        num_workers: number of workers; the block size is chosen so that each gets several blocks.

    Raises:
        UserError: there is no photo, an id is repeated, or the folder cannot be written.
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
        pq.write_table(pa.Table.from_pylist([photo._asdict() for photo in rows], schema), buffer)
        write_whole(out, _list_name(token, file), buffer.getvalue(), UNFINISHED)
        num_photos += len(rows)
    if not num_photos:
        raise UserError(f"{about['catalogue']}: it has no photos")
    size = SMALLEST_BLOCK
    while size < LARGEST_BLOCK and 16 * num_workers * size < num_photos:
        size *= 2
    blocks = Blocks(str(out), about, catalogue.kind, catalogue.bytes_column, num_photos, len(repeated), size, token)
    content = {"format": _FORMAT, **dataclasses.asdict(blocks)}
    del content["out"]
    try:
        write_whole(out, _RUN, json.dumps(content, indent=2).encode(), UNFINISHED, replace=False)
    except FileExistsError as error:
        raise UserError(f"another run started in {out} at the same time: run the command again to join it") from error
    return blocks


def _check_empty(out):
    """Check that the output folder does not exist, is empty, or holds only the list of an interrupted run."""
    store, root = open_store(out)
    if store.isfile(root):
        raise CallError(f"{out} is a file, required a folder")
    if others := names_in(out) - {STATE}:
        raise CallError(f"{out} is not empty and was not written by this command: it contains {min(others)}")


def _without_repeated(catalogue, id_column, repeated):
    """Yield each photo once; append ids of duplicate paths to `repeated`, and raise UserError on other duplicates."""
    if catalogue.is_distinct:
        yield from catalogue.photos
        return
    seen = set()
    for photo in catalogue.photos:
        # Digests take less memory than ids: about 80 bytes per photo.
        digest = hashlib.blake2b(photo.id.encode(), digest_size=12).digest()
        if digest not in seen:
            seen.add(digest)
            yield photo
        elif id_column or catalogue.kind != "file":
            raise UserError(f"{photo.id!r} in {photo.uri} is also the id of another photo")
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
