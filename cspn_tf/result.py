"""The result for one photo, from a local model, a server or a predictions file."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from cspn_tf.console import has_tensorflow
from cspn_tf.contract import STATUS_MEANINGS, STATUS_OK, check_outputs, is_webp
from cspn_tf.garment_set import Garments

# The file could not be read. Set by clients only: models get file contents.
STATUS_UNREADABLE = 4
# No pixel cap for drawing: the photo has passed the model's cap.
_NO_CAP = 2**31 - 1
_MEANINGS = {**STATUS_MEANINGS, STATUS_UNREADABLE: "the file could not be read"}


@dataclasses.dataclass(frozen=True)
class Result:
    """Garments found in one photo.

    Attributes:
        status: 0 on success, else the reason of failure, see `status_meaning`; there are then no garments.
        image_size: height and width of the upright photo, pixels; 0, 0 if unknown or if the status is not 0.
        garments: `Garments` in photo pixels, by descending score.
        name: the photo's path as given, or another display name; empty if it has none.
        photo: the photo, for `draw`: a path, the file as bytes, or its pixels; None if not kept.
    """

    status: int
    image_size: tuple[int, int] = (0, 0)
    garments: Garments = dataclasses.field(default_factory=lambda: Garments([], [], []))
    name: str = ""
    photo: Any = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """Whether the photo was processed: status 0."""
        return self.status == STATUS_OK

    @property
    def status_meaning(self) -> str:
        """Description of the status."""
        return _MEANINGS.get(self.status, f"unknown status {self.status}")

    def to_dict(self) -> dict:
        """Return the result as a JSON-serialisable dict: pixels to 2 decimals, scores to 4."""
        height, width = self.image_size
        return {
            "photo": self.name,
            "status": {"code": self.status, "meaning": self.status_meaning},
            "image_size": {"height": height, "width": width},
            "garments": self.garments.to_dicts(),
        }

    def to_json(self) -> str:
        """Return `to_dict` as one line of JSON."""
        return json.dumps(self.to_dict(), allow_nan=False)

    @classmethod
    def from_dict(cls, answer) -> "Result":
        """Build a result from a dict of `to_dict`."""
        size = (answer["image_size"]["height"], answer["image_size"]["width"])
        return cls(answer["status"]["code"], size, Garments.from_dicts(answer["garments"]), answer["photo"])

    def draw(self, min_keypoint_score=0.0, scale=1.0):
        """Draw the garments on the photo, decoded as for the model.

        Args:
            min_keypoint_score: keypoints with a lower score are not drawn.
            scale: size of the picture relative to the photo.

        Returns:
            An RGB `PIL.Image`.

        Raises:
            ValueError: the photo could not be decoded, was not kept, or its file is gone.
        """
        from PIL import Image

        from cspn_tf.drawing import draw_garments

        return draw_garments(Image.fromarray(self._pixels()), self.garments, min_keypoint_score, scale)

    def _pixels(self):
        """Return the upright photo, uint8 `(H, W, 3)`, decoded as for the model."""
        if self.photo is None:
            raise ValueError(f"{self.name or 'the photo'} cannot be drawn: the result has no photo")
        if not self.ok:
            raise ValueError(f"{self.name or 'the photo'} cannot be drawn: {self.status_meaning}")
        if not isinstance(self.photo, str | os.PathLike | bytes):
            return self.photo
        try:
            photo_bytes = self.photo if isinstance(self.photo, bytes) else Path(self.photo).read_bytes()
        except OSError as error:
            raise ValueError(f"{self.name or self.photo} cannot be drawn: {error.strerror or error}") from error
        if has_tensorflow() and not is_webp(photo_bytes):
            from cspn_tf.decoding import pixels_as_displayed
        else:
            from cspn_tf.pillow_photos import pixels_as_displayed
        return pixels_as_displayed(photo_bytes, _NO_CAP)


def results_of_outputs(outputs, names=None, photos=None) -> list[Result]:
    """Convert a batch of model outputs to results.

    Args:
        outputs: dict of NumPy arrays, see `cspn_tf.contract.OUTPUTS`; others are ignored.
        names: B names of the photos, or None.
        photos: B photos for drawing, see `Result`, or None.

    Raises:
        ValueError: an output is missing or violates the contract (the message names it), or the number of names or
            photos is not B.
    """
    check_outputs(outputs)
    num = len(outputs["status"])
    for given in (names, photos):
        if given is not None and len(given) != num:
            raise ValueError(f"{len(given)} photos were sent, but the outputs are for {num}")
    return [
        Result(
            status=int(outputs["status"][index]),
            image_size=tuple(int(side) for side in outputs["image_size"][index]),
            garments=Garments.from_served(outputs, index),
            name=names[index] if names is not None else "",
            photo=photos[index] if photos is not None else None,
        )
        for index in range(num)
    ]
