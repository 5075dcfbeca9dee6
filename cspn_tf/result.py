"""One photo's answer, whatever gave it: a model in this process, a server, a file of predictions."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from cspn_tf.contract import OUTPUTS, STATUS_MEANINGS, STATUS_OK, check_outputs
from cspn_tf.garment_set import Garments

# The photo's file could not be read at all; a model, which is given files, never answers so.
STATUS_UNREADABLE = 4
# Pixels of the photos that are drawn: whatever cap the model has, it has let them pass.
_NO_CAP = 2**31 - 1
_MEANINGS = {**STATUS_MEANINGS, STATUS_UNREADABLE: "the file could not be read"}


@dataclasses.dataclass(frozen=True)
class Result:
    """What was found on one photo.

    Attributes:
        status: 0 where the photo was looked at, else why not, see `status_meaning`; there are then no garments.
        image_size: height and width of the photo as displayed, pixels; 0, 0 where the status is not 0 or nobody knows.
        garments: `Garments` in photo pixels, the most certain one first.
        name: the photo's path as it was given, or another name for people; empty for a photo without one.
        photo: what it was found on, for `draw`: a path, the file as bytes, or its pixels; None where that is gone.
    """

    status: int
    image_size: tuple[int, int] = (0, 0)
    garments: Garments = dataclasses.field(default_factory=lambda: Garments([], [], []))
    name: str = ""
    photo: Any = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """Whether the photo was looked at."""
        return self.status == STATUS_OK

    @property
    def status_meaning(self) -> str:
        """The status in words."""
        return _MEANINGS.get(self.status, f"unknown status {self.status}")

    def to_dict(self) -> dict:
        """Return the answer as a JSON-ready dict: pixels to a hundredth, scores to four digits."""
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
        """Read what `to_dict` gave."""
        size = (answer["image_size"]["height"], answer["image_size"]["width"])
        return cls(answer["status"]["code"], size, Garments.from_dicts(answer["garments"]), answer["photo"])

    def draw(self, min_keypoint_score=0.0, scale=1.0):
        """Draw the garments on the photo, as the model saw it.

        Args:
            min_keypoint_score: keypoints below are not drawn.
            scale: size of the picture over the photo's.

        Returns:
            A `PIL.Image`, RGB, to show or `save`.

        Raises:
            ValueError: the photo could not be decoded, or is not there any more.
        """
        from PIL import Image

        from cspn_tf.drawing import draw_garments

        return draw_garments(Image.fromarray(self._pixels()), self.garments, min_keypoint_score, scale)

    def _pixels(self):
        """Return the photo as displayed, uint8 `(H, W, 3)`, by the decoder that every model has."""
        if self.photo is None:
            raise ValueError(f"{self.name or 'the photo'} cannot be drawn: nobody kept it")
        if not self.ok:
            raise ValueError(f"{self.name or 'the photo'} cannot be drawn: {self.status_meaning}")
        if not isinstance(self.photo, str | os.PathLike | bytes):
            return self.photo
        from cspn_tf.decoding import pixels_as_displayed

        try:
            photo_bytes = self.photo if isinstance(self.photo, bytes) else Path(self.photo).read_bytes()
        except OSError as error:
            raise ValueError(f"{self.name or self.photo} cannot be drawn: {error.strerror or error}") from error
        return pixels_as_displayed(photo_bytes, _NO_CAP)


def results_of_outputs(outputs, names=None, photos=None) -> list[Result]:
    """Turn a batch of model outputs into results.

    Args:
        outputs: dict of numpy arrays, as the served contract says; others are ignored.
        names: B names of the photos, or None.
        photos: B photos to draw on, see `Result`, or None.

    Raises:
        ValueError: an output is missing or not as the contract says, the message names it; or there are not B.
    """
    outputs = {name: outputs[name] for name in OUTPUTS if name in outputs}
    check_outputs(outputs)
    num = len(outputs["status"])
    for given in (names, photos):
        if given is not None and len(given) != num:
            raise ValueError(f"{len(given)} photos were asked about, {num} answered")
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
