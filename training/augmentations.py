"""Draw contact sheets of augmented training examples, one per network: a row per photo, a column per augmentation.

    python -m training.augmentations --data DIR --out FILE.png [--preset mobile] [--seed N]

FILE.png shows the crops of the keypoint network: without augmentation, with each augmentation alone, and twice with all
of them at random, as in training. Filled dots are visible keypoints, hollow ones occluded. FILE-detector.png shows the
inputs of the detector in the same way, with their boxes. Both are written by atomic rename.
"""

import functools
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from cspn_tf import drawing
from cspn_tf.config import PRESETS, preset
from cspn_tf.console import CallError, Parser, UserError, positive_int, run, seed_number
from cspn_tf.data.samples import SPLITS
from cspn_tf.files import write_picture
from cspn_tf.garment_set import Garments
from cspn_tf.garments import NUM_KEYPOINTS

ORIGINAL, COMPOSED = "original", ("all, once", "all, again")
TILE_SIZE = 320
# Photos are chosen at random among the first photos of the split, this many.
_CHOICE = 500


def main(argv=None) -> int:
    """Draw the sheets; see the module's docstring and --help."""
    args = _parse(argv)
    from cspn_tf.data.augmentation import draws

    config = preset(args.preset)
    photos = choose_photos(args.data, args.split, args.num_photos, args.seed)
    sheets = {
        args.out: _sheet(photos, draws.AUGMENTATIONS, _crop_maker(config), args.seed),
        args.out.with_name(f"{args.out.stem}-detector.png"): _sheet(
            photos, draws.OF_DETECTOR, _image_maker(config), args.seed
        ),
    }
    for path, sheet in sheets.items():
        write_picture(path, sheet)
        print(f"written: {path}, {sheet.width} x {sheet.height} pixels")
    return 0


def _parse(argv):
    parser = Parser(description="Draw contact sheets of augmented training examples, with their labels.")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder that training.prepare wrote")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.png", help="picture to write")
    parser.add_argument("--preset", default="mobile", choices=list(PRESETS), help="sizes of canvas, crop and input")
    parser.add_argument("--split", default="train", choices=SPLITS, help="which of its photos")
    parser.add_argument("--num-photos", type=positive_int, default=6, metavar="N", help="rows")
    parser.add_argument(
        "--seed", type=seed_number, default=1, help="seed of the choice of photos and of the augmentations"
    )
    args = parser.parse_args(argv)
    if args.out.suffix.lower() != ".png":
        raise CallError(f"--out must be a file named *.png, received {args.out}")
    if args.out.is_dir() or not args.out.absolute().parent.is_dir():
        raise CallError(f"--out {args.out}: required a file in an existing folder")
    return args


def choose_photos(data_dir, split, num, seed) -> list[dict]:
    """Return random photos of a split that have a labelled keypoint, as examples of `parse_example`.

    Raises:
        UserError: if the folder is not a prepared dataset, or the split has no such photo.
    """
    import tensorflow as tf

    from cspn_tf.data.tfrecords import parse_example, shard_paths

    photos = tf.data.TFRecordDataset(shard_paths(data_dir, split)).take(_CHOICE).shuffle(_CHOICE, seed=seed)
    photos = photos.map(parse_example).filter(lambda example: tf.reduce_any(example["visibility"] > 0))
    chosen = list(photos.take(num))
    if not chosen:
        raise UserError(f"{data_dir} has no labelled keypoint in split {split!r}")
    return chosen


# The sheets ----------------------------------------------------------------------------------------------------------


def _sheet(photos, augmentations, make_tile, seed):
    """Return a contact sheet, a row per photo; `make_tile` is a function of a photo and the draws of one example."""
    columns = (ORIGINAL, *augmentations, *COMPOSED)
    tiles = [
        make_tile(photo, numbers)
        for row, photo in enumerate(photos)
        for numbers in _draws_of_columns(columns, seed, row)
    ]
    return drawing.contact_sheet(tiles, len(columns), TILE_SIZE, list(columns) * len(photos))


def _draws_of_columns(columns, seed, row) -> list[dict]:
    """Return random draws for each column: none, each augmentation forced alone, and all at random."""
    import tensorflow as tf

    from cspn_tf.data.augmentation import draws

    random = draws.draw(tf.constant([seed, row], tf.int64), len(columns))
    of_columns = []
    for column, name in enumerate(columns):
        own = {key: values[column : column + 1] for key, values in random.items()}
        if name == ORIGINAL:
            own = draws.forced(own)
        elif name not in COMPOSED:
            own = draws.forced(own, name)
        of_columns.append(own)
    return of_columns


def _crop_maker(config):
    """Return the function that draws the keypoint network's crop of a photo's first garment with keypoints."""
    import tensorflow as tf

    from cspn_tf.data import pipeline

    size = config.keypoints.crop_size
    steps = pipeline.garment_steps(config, augment=True)

    @functools.partial(tf.function, reduce_retracing=True, autograph=False)
    def augment(photo, numbers):
        photo = pipeline.to_canvas(photo, canvas_size=config.canvas_size, max_pixels=config.max_pixels)
        garment = tf.argmax(tf.reduce_any(photo["visibility"] > 0, axis=-1))
        chosen = {
            key: photo[key][garment : garment + 1]
            for key in ("boxes_xyxy_canvas", "keypoints_xy_canvas", "visibility", "garment_types")
        }
        made = pipeline.to_crops({**photo, **chosen, "draws": numbers}, steps=steps, crop_size=size)
        made = pipeline.to_targets(made, crop_size=size)
        return [made[key][0] for key in ("crops", "targets", "visibility", "garment_types")]

    def make_tile(photo, numbers):
        crop, targets, visibility, garment_type = (part.numpy() for part in augment(photo, numbers))
        # Keypoints that the loss ignores, such as those outside the crop, are not drawn.
        visibility = visibility * (targets[:, 2] > 0)
        whole = (0.0, 0.0, size - 1.0, size - 1.0)
        return _tile(crop, Garments.label(garment_type, whole, targets[:, :2], visibility))

    return make_tile


def _image_maker(config):
    """Return the function that draws the detector's input."""
    import tensorflow as tf

    from cspn_tf.data import pipeline

    augment = tf.function(pipeline.detector_chain(config, augment=True), reduce_retracing=True, autograph=False)

    def make_tile(photo, numbers):
        image, labels = augment({**photo, "draws": {key: values[0] for key, values in numbers.items()}})
        types, boxes_xyxy = (labels[name].numpy() for name in ("garment_types", "boxes_xyxy"))
        real = types > 0
        nowhere = np.zeros((real.sum(), NUM_KEYPOINTS, 2))
        garments = Garments(types[real], boxes_xyxy[real], nowhere, visibility=nowhere[..., 0])
        return _tile(image.numpy(), garments)

    return make_tile


def _tile(pixels, garments):
    picture = Image.fromarray((pixels + 0.5).clip(0, 255).astype("uint8"))
    return drawing.draw_garments(picture, garments, scale=TILE_SIZE / pixels.shape[0])


if __name__ == "__main__":
    sys.exit(run(main))
