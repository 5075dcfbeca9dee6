"""Draw contact sheets of augmented training examples, one per network: a row per photo, a column per augmentation.

    python -m training.augmentations --data DIR --out FILE.png [--preset mobile] [--seed N]

FILE.png shows the crops of the keypoint network: without augmentation, with each augmentation alone, and twice with all
of them at random, as in training. Filled dots are visible keypoints, hollow ones occluded. FILE-detector.png shows the
inputs of the detector in the same way, with their boxes. Both are written by atomic rename.
"""

import sys
from pathlib import Path

from cspn_tf.config import PRESETS, preset
from cspn_tf.console import CallError, Parser, UserError, positive_int, run

ORIGINAL, COMPOSED = "original", ("all, once", "all, again")
TILE_SIZE = 320
# Photos are chosen at random among the first photos of the split, this many.
_CHOICE = 500


def main(argv=None) -> int:
    """Draw the sheets; see the module's docstring and --help."""
    args = _parse(argv)
    config = preset(args.preset)
    photos = choose_photos(args.data, args.split, args.num_photos, args.seed)
    sheets = {
        args.out: keypoint_sheet(photos, config, args.seed),
        args.out.with_name(f"{args.out.stem}-detector.png"): detector_sheet(photos, config, args.seed),
    }
    for path, sheet in sheets.items():
        _write(sheet, path)
        print(f"written: {path}, {sheet.width} x {sheet.height} pixels")
    return 0


def _parse(argv):
    parser = Parser(description="Draw contact sheets of augmented training examples, with their labels.")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder that training.prepare wrote")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.png", help="picture to write")
    parser.add_argument("--preset", default="mobile", choices=list(PRESETS), help="sizes of canvas, crop and input")
    parser.add_argument("--split", default="train", choices=("train", "val", "test"), help="which of its photos")
    parser.add_argument("--num-photos", type=positive_int, default=6, metavar="N", help="rows")
    parser.add_argument("--seed", type=int, default=1, help="seed of the choice of photos and of the augmentations")
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


# Keypoint network ----------------------------------------------------------------------------------------------------


def keypoint_sheet(photos, config, seed):
    """Return the contact sheet of the keypoint network's crops, of the first garment with keypoints in each photo."""
    from cspn_tf.data.augmentation import draws

    columns = (ORIGINAL, *draws.AUGMENTATIONS, *COMPOSED)
    augment = _crop_maker(config)
    tiles = []
    for row, photo in enumerate(photos):
        crops, keypoints_xy, visibility, garment_type = augment(photo, _draws_of_columns(columns, seed, row))
        tiles += [_crop_tile(*parts, garment_type) for parts in zip(crops, keypoints_xy, visibility, strict=True)]
    return _sheet(tiles, columns, len(photos))


def _draws_of_columns(columns, seed, row):
    """Return random draws for each column: none, each augmentation forced alone, and all at random."""
    import tensorflow as tf

    from cspn_tf.data.augmentation import draws

    random = draws.draw(tf.constant([seed, row], tf.int64), len(columns))
    parts = []
    for column, name in enumerate(columns):
        own = {key: values[column : column + 1] for key, values in random.items()}
        if name == ORIGINAL:
            own = draws.forced(own)
        elif name not in COMPOSED:
            own = draws.forced(own, name)
        parts.append(own)
    return {key: tf.concat([part[key] for part in parts], axis=0) for key in random}


def _crop_maker(config):
    """Return a function of a photo and draws that returns crops, keypoints and visibility by draw, and garment type."""
    import functools

    import tensorflow as tf

    from cspn_tf.data import pipeline

    size = config.keypoints.crop_size
    steps = pipeline.garment_steps(config, augment=True)

    @functools.partial(tf.function, reduce_retracing=True, autograph=False)
    def augment(photo, numbers):
        photo = pipeline.to_canvas(photo, canvas_size=config.canvas_size, max_pixels=config.max_pixels)
        garment = tf.argmax(tf.reduce_any(photo["visibility"] > 0, axis=-1))
        repeated = {
            key: tf.repeat(photo[key][garment][tf.newaxis], tf.size(numbers["scale"]), axis=0)
            for key in ("boxes_xyxy_canvas", "keypoints_xy_canvas", "visibility")
        }
        made = pipeline.to_crops({**photo, **repeated, "draws": numbers}, steps=steps, crop_size=size)
        made = pipeline.to_targets(made, crop_size=size)
        return made["crops"], made["targets"], made["visibility"], photo["garment_types"][garment]

    def make(photo, numbers):
        crops, targets, visibility, garment_type = (part.numpy() for part in augment(photo, numbers))
        # Keypoints that the loss ignores, such as those outside the crop, are not drawn.
        return crops, targets[..., :2], visibility * (targets[..., 2] > 0), int(garment_type)

    return make


def _crop_tile(crop, keypoints_xy, visibility, garment_type):
    from cspn_tf.garment_set import Garments

    whole = (0.0, 0.0, crop.shape[1] - 1.0, crop.shape[0] - 1.0)
    return _tile(crop, Garments.label(garment_type, whole, keypoints_xy, visibility))


# Detector ------------------------------------------------------------------------------------------------------------


def detector_sheet(photos, config, seed):
    """Return the contact sheet of the detector's inputs."""
    from cspn_tf.data.augmentation import draws

    columns = (ORIGINAL, *draws.OF_DETECTOR, *COMPOSED)
    augment = _image_maker(config)
    tiles = []
    for row, photo in enumerate(photos):
        numbers = _draws_of_columns(columns, seed, row)
        for column in range(len(columns)):
            image, labels = augment(photo, {key: values[column] for key, values in numbers.items()})
            tiles.append(_image_tile(image.numpy(), labels["boxes_xyxy"].numpy(), labels["garment_types"].numpy()))
    return _sheet(tiles, columns, len(photos))


def _image_maker(config):
    import functools

    import tensorflow as tf

    from cspn_tf.data import pipeline

    chain = pipeline.detector_chain(config, augment=True)

    @functools.partial(tf.function, reduce_retracing=True, autograph=False)
    def augment(photo, numbers):
        return chain({**photo, "draws": numbers})

    return augment


def _image_tile(image, boxes_xyxy, garment_types):
    import numpy as np

    from cspn_tf.garment_set import Garments
    from cspn_tf.garments import NUM_KEYPOINTS

    real = garment_types > 0
    nowhere, nothing = np.zeros((real.sum(), NUM_KEYPOINTS, 2)), np.zeros((real.sum(), NUM_KEYPOINTS))
    return _tile(image, Garments(garment_types[real], boxes_xyxy[real], nowhere, visibility=nothing))


# Both ----------------------------------------------------------------------------------------------------------------


def _tile(pixels, garments):
    from PIL import Image

    from cspn_tf import drawing

    picture = Image.fromarray((pixels + 0.5).clip(0, 255).astype("uint8"))
    return drawing.draw_garments(picture, garments, scale=TILE_SIZE / pixels.shape[0])


def _sheet(tiles, columns, num_rows):
    from cspn_tf import drawing

    return drawing.contact_sheet(tiles, len(columns), TILE_SIZE, list(columns) * num_rows)


def _write(sheet, path):
    from cspn_tf.files import replaced_file

    with replaced_file(path) as temporary:
        sheet.save(temporary, "PNG")


if __name__ == "__main__":
    sys.exit(run(main))
