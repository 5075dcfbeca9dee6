"""One photo's garments as columns: one class for labels and predictions, in TFRecords, COCO files and JSON.

::

    garments = result.garments
    len(garments), garments.types, garments.boxes_xyxy[0], garments.keypoints_xy[0, 6]
    upper = garments[garments.types == GarmentType.UPPER_BODY]

Labels have `visibility`, predictions have `scores` and `keypoint_scores`; an unknown column is None. Coordinates are
pixels of the photo as displayed, with integers at pixel centres, unless the caller documents another frame.

Letters in shapes: N garments, 8 keypoint slots of `cspn_tf.garments`.
"""

import dataclasses
import operator

import numpy as np

from cspn_tf.garments import (
    GARMENT_TYPE_NAMES,
    KEYPOINT_NAMES,
    KEYPOINTS_OF_TYPE,
    NUM_KEYPOINTS,
    GarmentType,
    Variation,
    Visibility,
)

# Column → dtype and the shape of one row. Coordinates have the precision of TFRecords and served outputs.
_COLUMNS = {
    "types": (np.int32, ()),
    "boxes_xyxy": (np.float32, (4,)),
    "keypoints_xy": (np.float32, (NUM_KEYPOINTS, 2)),
    "visibility": (np.int32, (NUM_KEYPOINTS,)),
    "scores": (np.float64, ()),
    "keypoint_scores": (np.float64, (NUM_KEYPOINTS,)),
    "variations": (np.int32, ()),
}
# Column → enum of its allowed values.
_CODES = {"types": GarmentType, "visibility": Visibility, "variations": Variation}
_REQUIRED = ("types", "boxes_xyxy", "keypoints_xy")

# Column → its name in the served outputs, and in an example of `cspn_tf.data.tfrecords`.
_SERVED = {
    "types": "classes",
    "boxes_xyxy": "boxes",
    "keypoints_xy": "keypoints",
    "scores": "scores",
    "keypoint_scores": "keypoint_scores",
}
_EXAMPLE = {
    "types": "garment_types",
    "variations": "variations",
    "boxes_xyxy": "boxes_xyxy_photo",
    "keypoints_xy": "keypoints_xy_photo",
    "visibility": "visibility",
}

# COCO's third number of a keypoint: 2 visible, 1 occluded, 0 not labelled. COCO has no code for cut-off keypoints.
_COCO_OF_VISIBILITY = {Visibility.VISIBLE: 2, Visibility.OCCLUDED: 1, Visibility.ABSENT: 0, Visibility.CUT_OFF: 0}


@dataclasses.dataclass(frozen=True, eq=False)
class Garments:
    """Garments, one row each.

    Attributes:
        types: int32 `(N,)`, `GarmentType` ids.
        boxes_xyxy: float32 `(N, 4)`, x_min, y_min, x_max, y_max.
        keypoints_xy: float32 `(N, 8, 2)`; zeros for keypoints without coordinates.
        visibility: int32 `(N, 8)`, `Visibility` codes; None if not labelled. With N = 0 this and all following columns
            are empty, never None.
        scores: float64 `(N,)`, confidence of each garment; None for labels.
        keypoint_scores: float64 `(N, 8)`, confidence of each keypoint, 0 for keypoints the type does not have; None for
            labels.
        variations: int32 `(N,)`, `Variation` ids; None if unknown.

    Raises:
        ValueError: a column has a wrong shape or an invalid code; the message names the column.
    """

    types: np.ndarray
    boxes_xyxy: np.ndarray
    keypoints_xy: np.ndarray
    visibility: np.ndarray | None = None
    scores: np.ndarray | None = None
    keypoint_scores: np.ndarray | None = None
    variations: np.ndarray | None = None

    def __post_init__(self):
        num = len(self.types)
        for name, (dtype, row_shape) in _COLUMNS.items():
            values = getattr(self, name)
            if values is None and name not in _REQUIRED:
                if num:
                    continue
                values = ()  # without garments, all columns are empty
            array = np.asarray(values)
            if num == 0 and array.size == 0:
                array = array.reshape(0, *row_shape)
            if array.shape != (num, *row_shape):
                raise ValueError(f"{name} must have the shape {(num, *row_shape)}, received {array.shape}")
            invalid = set(array.ravel().tolist()).difference(_CODES[name]) if name in _CODES else ()
            if invalid:
                raise ValueError(f"{name} must be codes of {_CODES[name].__name__}, received {min(invalid)}")
            object.__setattr__(self, name, np.asarray(array, dtype))

    def __len__(self):
        return len(self.types)

    def __getitem__(self, rows) -> "Garments":
        """Return the selected rows; the index is an integer, a slice, a boolean mask or an array of integers."""
        if not isinstance(rows, slice) and np.ndim(rows) == 0:
            row = operator.index(rows)
            if not -len(self) <= row < len(self):
                raise IndexError(f"there are {len(self)} garments, received the index {row}")
            rows = [row]
        elif not isinstance(rows, slice):
            rows = np.asarray(rows) if np.size(rows) else np.zeros(0, int)  # NumPy makes a float array of []
        return Garments(**{name: values[rows] for name, values in self._known().items()})

    def __iter__(self):
        return (self[row] for row in range(len(self)))

    def __eq__(self, other):
        if not isinstance(other, Garments):
            return NotImplemented
        mine, others = self._known(), other._known()
        if not len(self):
            return not len(other)
        return mine.keys() == others.keys() and all(np.array_equal(mine[name], others[name]) for name in mine)

    __hash__ = None

    def _known(self) -> dict:
        return {name: values for name in _COLUMNS if (values := getattr(self, name)) is not None}

    def replace(self, **columns) -> "Garments":
        """Return the garments with some columns replaced."""
        return dataclasses.replace(self, **columns)

    @property
    def labelled(self) -> np.ndarray:
        """Which keypoints have coordinates, bool `(N, 8)`.

        Raises:
            ValueError: the garments are not labels.
        """
        return self._visibility() > Visibility.ABSENT

    @property
    def visible(self) -> np.ndarray:
        """Which keypoints are labelled as visible, bool `(N, 8)`; raises as `labelled` does."""
        return self._visibility() == Visibility.VISIBLE

    def _visibility(self):
        if self.visibility is None:
            raise ValueError("visibility is not known: these garments are not labelled")
        return self.visibility

    @property
    def of_type(self) -> np.ndarray:
        """Which keypoints each garment's type has, bool `(N, 8)`."""
        return np.array(KEYPOINTS_OF_TYPE, bool)[self.types]

    def lengths(self, cm_per_pixel=None, known_cm=None) -> dict:
        """Measure a single garment: name to `cspn_tf.lengths.Length`; see `cspn_tf.lengths.lengths_of`.

        ::

            garments[0].lengths()["body_length"].pixels
            garments[0].lengths(known_cm={"waist_width": 41.0})["left_outseam"].cm
        """
        from cspn_tf.lengths import lengths_of

        return lengths_of(self, cm_per_pixel, known_cm)

    def distinct(self) -> "Garments":
        """Return the garments without duplicates, rows that equal an earlier one in every column."""
        rows = {
            tuple(values[row].tobytes() for values in self._known().values()): row for row in range(len(self))[::-1]
        }
        return self if len(rows) == len(self) else self[np.array(sorted(rows.values()), int)]

    # Making ----------------------------------------------------------------------------------------------------------

    @classmethod
    def label(cls, garment_type, box_xyxy, keypoints_xy, visibility, variation=Variation.UNKNOWN) -> "Garments":
        """Return one labelled garment, from a `GarmentType`, four numbers, `(8, 2)`, `(8,)` and a `Variation`."""
        return cls([garment_type], [box_xyxy], [keypoints_xy], visibility=[visibility], variations=[variation])

    @classmethod
    def concatenate(cls, parts) -> "Garments":
        """Concatenate the rows of several `Garments`; an empty sequence gives no garments.

        Raises:
            ValueError: a column is None in some of them and not in others.
        """
        parts = [part for part in parts if len(part)]
        if not parts:
            return cls([], [], [])
        known = {name: None for part in parts for name in part._known()}
        for name in known:
            if any(getattr(part, name) is None for part in parts):
                raise ValueError(f"{name} is known for some of the garments only")
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in known})

    # The served contract ---------------------------------------------------------------------------------------------

    @classmethod
    def from_served(cls, outputs, index) -> "Garments":
        """Return one photo's garments, without padding, from the outputs of a served batch.

        Args:
            outputs: dict of arrays as specified in `cspn_tf.contract.OUTPUTS`, batch first.
            index: the photo's index in the batch.
        """
        num = int(outputs["num_garments"][index])
        return cls(**{name: outputs[served][index][:num] for name, served in _SERVED.items()})

    # Records ---------------------------------------------------------------------------------------------------------

    @classmethod
    def from_example(cls, example) -> "Garments":
        """Return the labels in an example of `cspn_tf.data.tfrecords.parse_example`, a dict of arrays."""
        return cls(**{name: example[key] for name, key in _EXAMPLE.items()})

    def to_example(self) -> dict:
        """Return labels as a dict with the keys of TFRecord examples; unknown variations are 0.

        Raises:
            ValueError: the garments are not labels.
        """
        self._visibility()
        garments = self if self.variations is not None else self.replace(variations=np.zeros(len(self)))
        return {key: getattr(garments, name) for name, key in _EXAMPLE.items()}

    # COCO ------------------------------------------------------------------------------------------------------------

    def to_coco_annotations(self, image_id, first_id=1) -> list[dict]:
        """Return labels as COCO annotations, with the garment type as category and all eight keypoints.

        If known, `variation`, `score` and `keypoint_scores` are extra keys, which other readers ignore. Cut-off
        keypoints become unlabelled, because COCO does not distinguish the two.

        Args:
            image_id: COCO id of the photo.
            first_id: id of the first annotation; the next ones count up from it.

        Raises:
            ValueError: the garments are not labels.
        """
        self._visibility()
        codes = [[_COCO_OF_VISIBILITY[seen] for seen in row] for row in self.visibility.tolist()]
        annotations = []
        for row, entry in enumerate(self._coco_entries(image_id, codes)):
            entry |= {"id": first_id + row, "iscrowd": 0, "num_keypoints": int(self.labelled[row].sum())}
            if self.variations is not None:
                entry["variation"] = int(self.variations[row])
            if self.scores is not None:
                entry["score"] = float(self.scores[row])
            if self.keypoint_scores is not None:
                entry["keypoint_scores"] = self.keypoint_scores[row].tolist()
            annotations.append(entry)
        return annotations

    def to_coco_results(self, image_id) -> list[dict]:
        """Return predictions as COCO results, see `cspn_tf.data.coco_results`; ValueError without scores."""
        if self.scores is None or self.keypoint_scores is None:
            raise ValueError("needs garments with scores: these have none")
        entries = self._coco_entries(image_id, self.keypoint_scores.tolist())
        return [{**entry, "score": float(score)} for entry, score in zip(entries, self.scores, strict=True)]

    def _coco_entries(self, image_id, third_numbers):
        """Return the keys common to annotations and results; `third_numbers`, `(N, 8)`, follow each keypoint's x, y."""
        entries = []
        for row, thirds in enumerate(third_numbers):
            x_min, y_min, x_max, y_max = map(_plain, self.boxes_xyxy[row])
            width, height = _plain(x_max - x_min), _plain(y_max - y_min)
            points = self.keypoints_xy[row] * (self.labelled[row][:, np.newaxis] if self.visibility is not None else 1)
            triples = zip(map(_plain, points[:, 0]), map(_plain, points[:, 1]), thirds, strict=True)
            entries.append(
                {
                    "image_id": image_id,
                    "category_id": int(self.types[row]),
                    "bbox": [x_min, y_min, width, height],
                    "area": _plain(width * height),
                    "keypoints": [value for triple in triples for value in triple],
                }
            )
        return entries

    # JSON ------------------------------------------------------------------------------------------------------------

    def to_dicts(self) -> list[dict]:
        """Return one JSON-ready dict for each garment, with pixels rounded to 0.01 and scores to four decimals.

        Keys: type, class_id, score if known, box_xyxy, variation if known, and keypoints: name to x, y, and score and
        visibility if known. Predictions list the keypoints that the type has, labels those that are not ABSENT.
        """
        return [self._to_dict(row) for row in range(len(self))]

    def _to_dict(self, row):
        garment_type = GarmentType(self.types[row])
        garment = {"type": GARMENT_TYPE_NAMES[garment_type], "class_id": int(garment_type)}
        if self.scores is not None:
            garment["score"] = round(float(self.scores[row]), 4)
        garment["box_xyxy"] = [round(value, 2) for value in self.boxes_xyxy[row].tolist()]
        if self.variations is not None:
            garment["variation"] = Variation(self.variations[row]).name.lower()
        shown = self.of_type[row] if self.visibility is None else self.visibility[row] != Visibility.ABSENT
        garment["keypoints"] = {KEYPOINT_NAMES[slot]: self._keypoint_dict(row, slot) for slot in np.flatnonzero(shown)}
        return garment

    def _keypoint_dict(self, row, slot):
        x, y = self.keypoints_xy[row, slot].tolist()
        keypoint = {"x": round(x, 2), "y": round(y, 2)}
        if self.keypoint_scores is not None:
            keypoint["score"] = round(float(self.keypoint_scores[row, slot]), 4)
        if self.visibility is not None:
            keypoint["visibility"] = Visibility(self.visibility[row, slot]).name.lower()
        return keypoint

    @classmethod
    def from_dicts(cls, dicts) -> "Garments":
        """Read dicts of `to_dicts`; optional columns are read if the first garment, or any keypoint, has them."""
        dicts = list(dicts)
        points = [[garment["keypoints"].get(name, {}) for name in KEYPOINT_NAMES] for garment in dicts]
        known_of_point = {key for row in points for point in row for key in point}

        def of_points(key, read, default):
            return [[read(point[key]) if key in point else default for point in row] for row in points]

        return cls(
            [garment["class_id"] for garment in dicts],
            [garment["box_xyxy"] for garment in dicts],
            [[[point.get("x", 0.0), point.get("y", 0.0)] for point in row] for row in points],
            visibility=of_points("visibility", lambda name: Visibility[name.upper()], Visibility.ABSENT)
            if "visibility" in known_of_point or not known_of_point  # only labels can be without any keypoint
            else None,
            scores=_if_known("score", dicts),
            keypoint_scores=of_points("score", float, 0.0) if "score" in known_of_point else None,
            variations=[Variation[garment["variation"].upper()] for garment in dicts]
            if _if_known("variation", dicts)
            else None,
        )


def _if_known(name, entries):
    """Return a key's value from every entry if the first entry has it, else None."""
    return [entry[name] for entry in entries] if entries and name in entries[0] else None


def _plain(value):
    """Return a number for JSON: an int if it is whole, else a float with the fewest digits that identify it."""
    number = float(str(value))
    return int(number) if number.is_integer() else number
