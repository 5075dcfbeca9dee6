"""The output of bulk annotation: one row per photo, as an Arrow table with this schema (unknown values are null).

id              string              the photo's id in the catalogue
status          int32               0 on success, else see `cspn_tf.result.Result.status_meaning`
reason          string              why the status is not 0, in words
width, height   int32               pixels, as displayed
num_garments    int32
garments        list of struct
    type        string              upper-body, lower-body, full-body
    score       float
    box         struct              x_min, y_min, x_max, y_max: float, photo pixels
    keypoints   struct              left_collar … right_hem, each a struct of x, y, score: float; null if there is none
    lengths     struct              collar_width …, each a struct of pixels, sd: float; null if not measurable
model           string              the model, as given
model_version   string              version of an exported model, or `cspn_tf.__version__`
time            timestamp, UTC      when the photo's block was finished
"""

import collections
import io
import posixpath

from cspn_tf.bulk.blocks import PART
from cspn_tf.bulk.stores import names_in, open_store, store_errors, uri_of
from cspn_tf.console import UserError
from cspn_tf.garment_set import Garments
from cspn_tf.garments import KEYPOINT_NAMES, TYPE_OF_NAME
from cspn_tf.lengths import LENGTHS
from cspn_tf.result import Result

_BOX = ("x_min", "y_min", "x_max", "y_max")


def schema():
    """Return the Arrow schema."""
    import pyarrow as pa

    def floats(*names):
        return pa.struct([(name, pa.float32()) for name in names])

    garment = pa.struct(
        [
            ("type", pa.string()),
            ("score", pa.float32()),
            ("box", floats(*_BOX)),
            ("keypoints", pa.struct([(name, floats("x", "y", "score")) for name in KEYPOINT_NAMES])),
            ("lengths", pa.struct([(name, floats("pixels", "sd")) for name in LENGTHS])),
        ]
    )
    return pa.schema(
        [
            ("id", pa.string()),
            ("status", pa.int32()),
            ("reason", pa.string()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("num_garments", pa.int32()),
            ("garments", pa.list_(garment)),
            ("model", pa.string()),
            ("model_version", pa.string()),
            ("time", pa.timestamp("ms", "UTC")),
        ]
    )


def parquet_of(rows) -> bytes:
    """Return rows made by `row_of` as the bytes of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema()), buffer, compression="zstd")
    return buffer.getvalue()


def row_of(result, reason=None) -> dict:
    """Return the row of one photo, without the columns model, model_version and time.

    Args:
        result: a `Result`, whose name is the photo's id.
        reason: why the photo could not be read; by default the status in words.
    """
    height, width = result.image_size if result.ok else (None, None)
    return {
        "id": result.name,
        "status": result.status,
        "reason": None if result.ok else reason or result.status_meaning,
        "width": width,
        "height": height,
        "num_garments": len(result.garments),
        "garments": [_garment(garment) for garment in result.garments],
    }


def _garment(garment):
    (written,) = garment.to_dicts()
    measured = {name: length for name, length in garment.lengths().items() if length.measurable}
    return {
        "type": written["type"],
        "score": written["score"],
        "box": dict(zip(_BOX, written["box_xyxy"], strict=True)),
        "keypoints": written["keypoints"],
        "lengths": {name: {"pixels": length.pixels, "sd": length.pixels_sd} for name, length in measured.items()},
    }


def result_of(row) -> Result:
    """Return the `Result` of a row, with the photo's id as its name; the inverse of `row_of` except for rounding."""
    garments = [
        {
            "class_id": int(TYPE_OF_NAME[garment["type"]]),
            "score": garment["score"],
            "box_xyxy": [garment["box"][name] for name in _BOX],
            "keypoints": {name: point for name, point in garment["keypoints"].items() if point is not None},
        }
        for garment in row["garments"]
    ]
    size = (row["height"] or 0, row["width"] or 0)
    return Result(row["status"], size, Garments.from_dicts(garments), row["id"])


def read_rows(folder):
    """Yield the rows of an output folder, in the order of the catalogue.

    Args:
        folder: path or URI.

    Raises:
        UserError: the folder has no part files.
    """
    for file in _parts(folder):
        for batch in file.iter_batches():
            yield from batch.to_pylist()


def totals(folder) -> tuple:
    """Return the number of garments in an output folder, and a dict of status to number of photos."""
    num_garments, statuses = 0, collections.Counter()
    for file in _parts(folder):
        columns = file.read(columns=["status", "num_garments"]).to_pydict()
        num_garments += sum(columns["num_garments"])
        statuses.update(columns["status"])
    return num_garments, dict(statuses)


def _parts(folder):
    import pyarrow.parquet as pq

    store, root = open_store(folder)
    names = sorted(filter(PART.fullmatch, names_in(folder)))
    if not names:
        raise UserError(f"{folder} has no part-*.parquet: it is not an output folder of annotate")
    for name in names:
        path = posixpath.join(root, name)
        with store_errors(uri_of(store, path)), store.open(path, "rb") as file:
            yield pq.ParquetFile(file)
