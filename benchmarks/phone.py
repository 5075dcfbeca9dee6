"""Measure how far keypoints move when a phone app resizes photos in another way, or follows garments through a video.

Needs `ai-edge-litert`, and the files of `cspn-tf export-tflite --parts`. The answers are compared with those of
`examples.phone` to the same photo, and with those of a detection in every frame. Keypoints with a score above 0.5 there
count; distances are in fractions of the box's long side. A video is a photo panned sideways and back.
"""

from pathlib import Path

import numpy as np

from benchmarks.commands import add_json, write_figures
from cspn_tf.console import Parser, UserError, positive_int, run
from cspn_tf.evaluation.matching import match_detections
from cspn_tf.machine import describe_machine
from examples.phone import PADDING, Network, Tracker, Transform, letterbox

MIN_SCORE = 0.5
# By the names of the table; what Pillow calls them.
RESIZES = {"bilinear, anti-aliased": "BILINEAR", "bicubic, anti-aliased": "BICUBIC", "nearest pixel": "NEAREST"}


def main(argv=None):
    parser = Parser(any_names=("photos",), description=__doc__.split("\n\n")[0], epilog=__doc__.split("\n\n")[1])
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="photos with garments")
    parser.add_argument("--files", required=True, metavar="DIR", help="folder of detector.tflite and keypoints.tflite")
    parser.add_argument("--frames", type=positive_int, default=15, help="frames of a video")
    parser.add_argument("--pans", type=positive_int, nargs="+", default=[2, 5, 10, 20], help="canvas pixels per frame")
    add_json(parser)
    args = parser.parse_args(argv)
    from cspn_tf.decoding import pixels_as_displayed
    from cspn_tf.pillow_photos import read_photo_files

    paths = [Path(args.files) / f"{name}.tflite" for name in ("detector", "keypoints")]
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path} is missing: `cspn-tf export-tflite --out {args.files} --parts` writes it")
    networks = [Network(path) for path in paths]
    photos = [pixels_as_displayed(photo) for photo in read_photo_files(args.photos)]
    figures = {
        "machine": describe_machine(),
        "resizes": {name: measure_resize(networks, photos, filter_) for name, filter_ in RESIZES.items()},
        "pans": {pan: measure_pan(networks, photos, pan, args.frames) for pan in args.pans},
    }
    print(format_figures(figures))
    write_figures(args, figures)


def measure_resize(networks, photos, filter_name) -> dict:
    """Compare the answers to photos resized by Pillow with those to the letterbox of `examples.phone`.

    Args:
        networks: functions like `detector.tflite` and `keypoints.tflite`; the first has the canvas's `size`.
        photos: list of uint8 `(H, W, 3)`.
        filter_name: one of Pillow's filters.

    Returns:
        dict: garments, those found in the letterbox; lost, those of them not found again; median and p95 of the
        distances of keypoints.
    """
    size = networks[0].size
    pairs = [
        (_on_photo(_answer(networks, canvas), transform), _on_photo(_answer(networks, other), whole))
        for photo in photos
        for canvas, transform in [letterbox(photo, size)]
        for other, whole in [_resized(photo, size, filter_name)]
    ]
    return _distances(pairs)


def measure_pan(networks, photos, pan, num_frames) -> dict:
    """Compare the tracker's answers with those of a detection in every frame of a pan.

    Args:
        networks, photos: as for `measure_resize`.
        pan: canvas pixels per frame.
        num_frames: frames of each photo: half of them go to the right, the others back.

    Returns:
        As `measure_resize`, and detections: the number of frames in which the tracker ran the detector; frames.
    """
    detector, keypoints = networks
    pairs, detections = [], []

    def detect(image):
        detections.append(1)
        return detector(image=image)

    for photo in photos:
        canvas, _ = letterbox(photo, detector.size)
        track = Tracker(detect, keypoints)
        for frame in panned(canvas, pan, num_frames):
            pairs.append((_answer(networks, frame), track(frame)))
    return {**_distances(pairs), "detections": len(detections), "frames": num_frames * len(photos)}


def panned(canvas, pan, num_frames):
    """Yield a canvas moved to the right by `pan` pixels a frame, and back from the middle on; padding comes in."""
    for frame in range(num_frames):
        shift = min(pan * min(frame, num_frames - 1 - frame), canvas.shape[1])
        padding = np.full_like(canvas[:, :shift], PADDING)
        yield np.concatenate([padding, canvas[:, : canvas.shape[1] - shift]], axis=1)


def _answer(networks, canvas):
    return Tracker(*networks)(canvas)


def _resized(photo, size, filter_name):
    from PIL import Image

    height, width, _ = photo.shape
    side = max(height, width)
    square = np.full((side, side, 3), PADDING, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = photo
    canvas = Image.fromarray(square).resize((size, size), Image.Resampling[filter_name])
    return np.asarray(canvas), Transform.of(height, width, size)


def _on_photo(answer, transform):
    boxes, keypoints = transform.boxes_to_photo(answer["boxes"]), transform.to_photo(answer["keypoints"])
    return {**answer, "boxes": boxes, "keypoints": keypoints}


def _distances(pairs):
    distances, num, lost = [], 0, 0
    for expected, found in pairs:
        boxes, types, _ = _rows(expected)
        matches = match_detections(boxes, types, *_rows(found))
        num, lost = num + len(matches), lost + int((matches < 0).sum())
        for row, match in enumerate(matches):
            if match >= 0:
                long_side = np.ptp(expected["boxes"][row].reshape(2, 2), axis=0).max()
                moved = expected["keypoints"][row] - found["keypoints"][match]
                is_sure = expected["keypoint_scores"][row] > MIN_SCORE
                distances.extend(np.linalg.norm(moved[is_sure], axis=-1) / long_side)
    median, p95 = np.percentile(distances, [50, 95]).tolist() if distances else (None, None)
    return {"garments": num, "lost": lost, "median": median, "p95": p95}


def _rows(answer):
    return [answer[name][: int(answer["num_garments"])] for name in ("boxes", "classes", "scores")]


def format_figures(figures) -> str:
    """Return the figures as Markdown tables."""
    columns = "median | 95th percentile | garments lost |"
    lines = [figures["machine"]["cpu"], "", f"| the square resized by Pillow | {columns}", "|---|---|---|---|"]
    lines += [f"| {name} | {_columns(one)} |" for name, one in figures["resizes"].items()]
    lines += ["", f"| pan, canvas pixels per frame | {columns} frames with a detection |", "|---|---|---|---|---|"]
    lines += [
        f"| {pan} | {_columns(one)} | {one['detections']} of {one['frames']} |" for pan, one in figures["pans"].items()
    ]
    return "\n".join(lines)


def _columns(one):
    distances = ["" if one[name] is None else f"{one[name]:.4f}" for name in ("median", "p95")]
    return " | ".join([*distances, f"{one['lost']} of {one['garments']}"])


if __name__ == "__main__":
    raise SystemExit(run(main))
