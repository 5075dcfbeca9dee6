"""Annotation files that are text tables with one row per line, and duplicate rows in them.

If a photo has two equal rows, the second is rejected. If they differ, neither can be trusted and the photo is rejected.
"""

import codecs
import dataclasses
import itertools

from cspn_tf.console import UserError
from cspn_tf.data.fields import RowFault, shown


class Table:
    """One table file; a subclass defines how a line is split.

    Attributes:
        path: path of the file.
        header: list of its first `num_header_lines` lines, bytes; fewer if the file is shorter.
        rows: list of `Row`, one for every other line that is not blank.
    """

    def __init__(self, path, num_header_lines):
        """Read the file.

        Raises:
            UserError: the file cannot be read.
        """
        self.path = path
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: {error.strerror or error}")
        lines = content.removeprefix(codecs.BOM_UTF8).split(b"\n")
        self.header = lines[:num_header_lines]
        rows = enumerate(lines[num_header_lines:], start=num_header_lines + 1)
        self.rows = [Row(self, number, line) for number, line in rows if line.strip()]

    def split(self, line) -> list[str]:
        """Split a line, bytes, into its fields. May raise `RowFault`."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Row:
    """One line, split into fields only on demand, to save memory on large datasets."""

    table: Table
    number: int
    line: bytes

    @property
    def where(self) -> str:
        return f"{self.table.path}:{self.number}"

    def fields(self) -> list[str]:
        return self.table.split(self.line)


def by_column(columns, fields) -> dict[str, str]:
    """Return column name → field.

    Raises:
        RowFault: the number of fields is not that of the columns.
    """
    if len(fields) != len(columns):
        raise RowFault(f"{len(fields)} fields, required {len(columns)}: {shown(' '.join(columns), 80)}")
    return dict(zip(columns, fields, strict=True))


class PhotoRows:
    """The rows of one or several tables, indexed by photo.

    Attributes:
        first: photo → its first row.
    """

    def __init__(self, result, of_pairs=False):
        """Start without rows.

        Args:
            result: `ReadResult` to which duplicate rows are added as rejected.
            of_pairs: whether a row names two photos in its first two fields and is added for both. A photo may then be
                in many rows, duplicate pairs are accepted, and only the fields after the two names must agree.
        """
        self._result, self._of_pairs = result, of_pairs
        self.first = {}
        self._contradicted = {}

    def add(self, photo, row):
        """Add a row for a photo, comparing it with the photo's first row."""
        first = self.first.setdefault(photo, row)
        if first is row:
            return
        there, here = (each.fields()[2 * self._of_pairs :] for each in (first, row))
        if there != here:
            pairs = itertools.zip_longest(there, here, fillvalue="")
            there, here = next((shown(there), shown(here)) for there, here in pairs if there != here)
            reason = f"photo {shown(photo)} is in {first.where} with other values: {there}, here {here}"
            self._contradicted.setdefault(photo, RowFault(reason, row.where))
        elif not self._of_pairs:
            self._result.reject(photo, row.where, f"duplicate row: photo {shown(photo)} is in {first.where} already")

    def row(self, photo) -> Row:
        """Return the photo's first row.

        Raises:
            RowFault: two rows of the photo differ.
        """
        if photo in self._contradicted:
            raise self._contradicted[photo]
        return self.first[photo]
