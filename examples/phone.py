"""What an app does around the TensorFlow Lite files, in NumPy: letterbox, run, map back, track. See docs/mobile.md.

    python -m examples.phone PHOTO... [--model FILE]
    python -m examples.phone FRAME... --detector FILE --keypoints FILE     consecutive frames of a video

Needs `ai-edge-litert`, NumPy and Pillow only. Integer coordinates are pixel centres.

Letters in shapes: H, W size of a photo, S side of the canvas, N most garments in a photo.
"""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

SHIPPED = Path(__file__).parent.parent / "cspn_tf" / "weights" / "mobile" / "cspn.tflite"
PADDING = 128
TYPES = ("", "upper-body", "lower-body", "full-body")
KEYPOINTS = (
    *("left_collar", "right_collar", "left_sleeve", "right_sleeve"),
    *("left_waistline", "right_waistline", "left_hem", "right_hem"),
)


# Photo and canvas ----------------------------------------------------------------------------------------------------


class Transform(NamedTuple):
    """The map from a photo to its canvas: canvas = scale * photo + offset, pixels."""

    scale: float
    offset_x: float
    offset_y: float
    height: int
    width: int

    @classmethod
    def of(cls, height, width, size, ratio=1):
        """Return the map of a photo that is read shrunk by `ratio`, to a canvas of side `size`."""
        rows, columns = -(-height // ratio), -(-width // ratio)
        side = max(rows, columns)
        scale = size / side
        # The photo's pixel centre 0 is at 0.5 / ratio - 0.5 of the shrunk photo.
        offset_x, offset_y = (
            ((side - length) // 2 + 0.5) * scale - 0.5 + scale * (0.5 / ratio - 0.5) for length in (columns, rows)
        )
        return cls(scale / ratio, offset_x, offset_y, height, width)

    def to_canvas(self, points_xy):
        """Map points of the photo, `(..., 2)`, to the canvas."""
        return np.asarray(points_xy) * self.scale + (self.offset_x, self.offset_y)

    def to_photo(self, points_xy):
        """Map points of the canvas, `(..., 2)`, to the photo; the inverse of `to_canvas`."""
        return (np.asarray(points_xy) - (self.offset_x, self.offset_y)) / self.scale

    def boxes_to_photo(self, boxes):
        """Map boxes of the canvas, `(..., 4)`, to the photo, and clip them to its outermost pixel centres."""
        corners = self.to_photo(np.reshape(boxes, (-1, 2, 2)))
        return np.clip(corners, 0, (self.width - 1, self.height - 1)).reshape(np.shape(boxes))


def read_photo(path):
    """Return a photo file upright, uint8 `(H, W, 3)`: transparent ones on white, the upper 8 bits of 16.

    Raises:
        OSError: if it cannot be read.
    """
    from PIL import Image, ImageOps

    photo = ImageOps.exif_transpose(Image.open(path))
    if photo.mode.startswith("I"):
        photo = Image.fromarray(np.uint8(np.asarray(photo) >> 8))
    if photo.has_transparency_data:
        photo = photo.convert("RGBA")
        photo = Image.alpha_composite(Image.new("RGBA", photo.size, "white"), photo)
    return np.asarray(photo.convert("RGB"))


def letterbox(photo, size):
    """Return the canvas of an upright photo, uint8 `(H, W, 3)` to `(S, S, 3)`, and its `Transform`."""
    height, width = photo.shape[:2]
    ratio, photo = 1, np.float32(photo)
    while max(photo.shape[:2]) >= 2 * size:
        ratio, photo = ratio * 2, halved(photo)
    missing = max(photo.shape[:2]) - np.array(photo.shape[:2])
    around = [(int(number) // 2, int(number) - int(number) // 2) for number in missing]
    square = np.pad(photo, [*around, (0, 0)], constant_values=PADDING)
    side = len(square)
    position = np.clip((np.arange(size, dtype=np.float32) + 0.5) * np.float32(side / size) - 0.5, 0, side - 1)
    before = np.int32(position)
    after, part = np.minimum(before + 1, side - 1), position - before
    rows = square[before] + (square[after] - square[before]) * part[:, None, None]
    canvas = rows[:, before] + (rows[:, after] - rows[:, before]) * part[:, None]
    return np.uint8(canvas + 0.5), Transform.of(height, width, size, ratio)


def halved(photo):
    """Average 2x2 pixels, float32 `(H, W, 3)`; an odd last row or column is averaged with itself."""
    even = np.pad(photo, [(0, photo.shape[0] % 2), (0, photo.shape[1] % 2), (0, 0)], mode="edge")
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4


# Running a file ------------------------------------------------------------------------------------------------------


class Network:
    """A TensorFlow Lite file as a function of its named inputs; not thread-safe."""

    def __init__(self, path, num_threads=2):
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(str(path), num_threads=num_threads)
        self._run = self._interpreter.get_signature_runner("serving_default")
        self.names = {*self._run.get_input_details(), *self._run.get_output_details()}
        self.size = int(self._run.get_input_details()["image"]["shape"][1])

    def __call__(self, **inputs):
        """Return the outputs by name, of one photo, without the dimension of the batch."""
        return {name: value[0] for name, value in self._run(**inputs).items()}


def garments_of(outputs, transform):
    """Return the garments in photo pixels, as dicts of type, score, box, and keypoints by name: x, y, score."""
    boxes, points = transform.boxes_to_photo(outputs["boxes"]), transform.to_photo(outputs["keypoints"])
    return [
        {
            "type": TYPES[outputs["classes"][row]],
            "score": float(outputs["scores"][row]),
            "box": boxes[row].tolist(),
            "keypoints": {
                name: (*points[row, number].tolist(), float(outputs["keypoint_scores"][row, number]))
                for number, name in enumerate(KEYPOINTS)
                if outputs["keypoint_scores"][row, number] > 0
            },
        }
        for row in range(int(outputs["num_garments"]))
    ]


# Tracking ------------------------------------------------------------------------------------------------------------


class Tracker:
    """Finds garments in the frames of a video: detects them now and then, and in between follows their keypoints.

    Args:
        detect: function of `image`, uint8 `(1, S, S, 3)`; it returns the outputs of `detector.tflite`.
        find_keypoints: function of `image`, `box` and `garment_type`; it returns the outputs of `keypoints.tflite`.
        every: frames from one detection to the next.
        min_score: mean keypoint score of a garment below which the next frame is searched anew.
        min_keypoint_score: score below which a keypoint does not move the box.
    """

    def __init__(self, detect, find_keypoints, every=15, min_score=0.4, min_keypoint_score=0.3):
        self._detect, self._find_keypoints = detect, find_keypoints
        self._every, self._min_score, self._min_keypoint_score = every, min_score, min_keypoint_score
        self._age, self._found, self._boxes, self._points = every, None, None, None

    def __call__(self, canvas):
        """Return what `cspn.tflite` returns for a canvas, uint8 `(S, S, 3)`, in canvas pixels."""
        image = canvas[None]
        if self._age >= self._every:
            self._age, self._found, self._points = 0, self._detect(image=image), None
            self._boxes = np.float32(self._found["boxes"])
        self._age += 1
        boxes, classes = self._boxes, self._found["classes"]
        points, scores = np.zeros((len(boxes), 8, 2), np.float32), np.zeros((len(boxes), 8), np.float32)
        next_boxes = boxes.copy()
        for row in range(int(self._found["num_garments"])):
            answer = self._find_keypoints(image=image, box=boxes[row, None], garment_type=classes[row, None])
            points[row], scores[row] = answer["keypoints"], answer["keypoint_scores"]
            if scores[row].sum() < self._min_score * np.count_nonzero(scores[row]) or not scores[row].any():
                self._age = self._every
            sure = scores[row] >= self._min_keypoint_score
            before = points[row] if self._points is None else self._points[row]
            if sure.any():
                next_boxes[row] = followed(boxes[row], before[sure], points[row, sure])
        self._boxes, self._points = next_boxes, points
        return {**self._found, "boxes": boxes, "keypoints": points, "keypoint_scores": scores}


def followed(box, before, after):
    """Return a garment's box for the next frame: moved like its keypoints, and widened to contain them.

    Args:
        box: float `(4,)`, in which `after` was found.
        before, after: float `(P, 2)`, the same keypoints in the previous and in this frame, P at least 1.
    """
    moved_xy = ((after.min(0) + after.max(0)) - (before.min(0) + before.max(0))) / 2
    low, high = np.reshape(box, (2, 2)) + moved_xy
    return np.concatenate([np.minimum(low, after.min(0)), np.maximum(high, after.max(0))])


# The command ---------------------------------------------------------------------------------------------------------


def main(argv=None):
    """Print the garments in photos, or in the frames of a video; return 1 if one could not be read, else 0."""
    from PIL import Image

    parser = argparse.ArgumentParser(prog="python -m examples.phone", description="Run the files for phones.")
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="photos; with the pair, frames of a video in order")
    parser.add_argument("--model", default=SHIPPED, metavar="FILE", help="cspn.tflite (default: the package's)")
    parser.add_argument("--detector", metavar="FILE", help="detector.tflite, with --keypoints")
    parser.add_argument("--keypoints", metavar="FILE", help="keypoints.tflite, with --detector")
    arguments = parser.parse_args(argv)
    pair = [arguments.detector, arguments.keypoints]
    if any(pair) and not all(pair):
        parser.error("--detector and --keypoints come together")
    for path in [*arguments.photos, *(pair if all(pair) else [arguments.model])]:
        if not Path(path).is_file():
            parser.error(f"{path}: no such file")

    def opened(path, *names):
        try:
            network = Network(path)
        except ValueError as error:
            parser.error(f"{path}: not a file of `cspn-tf export-tflite`: {str(error).splitlines()[0]}")
        if missing := set(names) - network.names:
            parser.error(f"{path}: another file: it has no {' and no '.join(sorted(missing))}")
        return network

    if all(pair):
        first = opened(pair[0], "boxes")
        find = Tracker(first, opened(pair[1], "box", "keypoints"))
    else:
        first = opened(arguments.model, "boxes", "keypoints")

        def find(canvas):
            return first(image=canvas[None])

    code = 0
    for path in arguments.photos:
        try:
            photo = read_photo(path)
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            code = 1
            continue
        canvas, transform = letterbox(photo, first.size)
        garments = garments_of(find(canvas), transform)
        print(f"{path}: {len(garments)} garments")
        for garment in garments:
            print(f"  {garment['type']} {garment['score']:.2f}  box", *(f"{side:.1f}" for side in garment["box"]))
            for name, (x, y, score) in garment["keypoints"].items():
                print(f"    {name:15} {x:7.1f} {y:7.1f}  {score:.2f}")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
