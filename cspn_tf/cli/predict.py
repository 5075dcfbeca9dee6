"""Find garments and their keypoints in photos, and write the results.

    cspn-tf predict photos/ more/a.jpg --out out
    cspn-tf predict photos/ --model phone/cspn.tflite --out out --draw --format csv

Writes into --out, by --format:
    jsonl   predictions.jsonl       one line of JSON per photo
    csv     predictions.csv         one row per garment, including its lengths, see `cspn_tf.lengths`
    coco    predictions.coco.json   COCO keypoints, with scores; photo paths are relative to the searched folder, or to
                                    the common folder of several arguments
and with --draw a picture `<photo>.keypoints.jpg` for each photo. Files are written by atomic rename.

An interrupted run leaves the pictures drawn so far, and no results; `cspn-tf annotate` resumes.

The exit code is 0 if every photo was processed (and drawn, with --draw), else 1. A photo that fails, or a folder
without photos, is reported in one line on stderr and does not affect the others.
"""

import functools
import os
from pathlib import Path

from cspn_tf.cli.answers import WRITERS, name_pictures, reported
from cspn_tf.cli.photo_paths import find_existing_photos
from cspn_tf.console import Parser, positive_float, positive_int, termination_as_interrupt
from cspn_tf.files import check_writable
from cspn_tf.progress import Progress


def main(argv=None) -> int:
    """Predict as the arguments say; return the exit code."""
    args = _parse(argv)
    check_writable(args.out, WRITERS[args.format][0])
    with termination_as_interrupt():
        photos, failed = find_existing_photos(args.photos)
        return max(_predict(args, photos) if photos else 1, int(bool(failed)))


def _parse(argv):
    parts = __doc__.split("\n\n")
    parser = Parser(any_names=("photos",), description=parts[0], epilog="\n\n".join(parts[3:]))
    parser.add_argument(
        "photos",
        nargs="+",
        metavar="PHOTO_OR_FOLDER",
        help="JPEG, PNG or WebP file, or a folder to search recursively for such, without hidden files",
    )
    parser.add_argument(
        "--model",
        metavar="PATH",
        help="SavedModel folder, .tflite file, or folder with two training runs (default: the model in the package)",
    )
    parser.add_argument("--detector", metavar="DIR", help="instead of --model: training directory of the detector")
    parser.add_argument("--keypoints", metavar="DIR", help="and of the keypoint network")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write into")
    parser.add_argument("--draw", action="store_true", help="also write <photo>.keypoints.jpg")
    parser.add_argument("--format", choices=WRITERS, default="jsonl", help="output format")
    parser.add_argument(
        "--cm-per-pixel",
        type=positive_float,
        metavar="CM",
        help="for csv: scale of the photos, to add lengths in centimetres",
    )
    parser.add_argument("--batch-size", type=positive_int, default=8, help="photos per batch")
    args = parser.parse_args(argv)
    is_pair = bool(args.detector and args.keypoints)
    if (args.model and is_pair) or bool(args.detector) != bool(args.keypoints):
        parser.error("give either --model, or --detector and --keypoints")
    if args.cm_per_pixel and args.format != "csv":
        parser.error("--cm-per-pixel is for --format csv")
    return args


def _predict(args, photos):
    from cspn_tf.inference.model import load

    model = load(args.model, detector=args.detector, keypoints=args.keypoints)
    args.out.mkdir(parents=True, exist_ok=True)
    picture_paths = name_pictures(photos, args.out) if args.draw else {}
    file_name, write = WRITERS[args.format]
    if args.format == "coco":
        write = functools.partial(write, folder=_common_folder(args.photos))
    elif args.format == "csv":
        write = functools.partial(write, cm_per_pixel=args.cm_per_pixel)
    failed = []

    def answers(progress):
        results = reported(model(iter(photos), args.batch_size), picture_paths, failed)
        for num_done, result in enumerate(results, start=1):
            yield result
            progress(num_done, len(photos))

    with Progress("processed") as progress:
        write(args.out / file_name, answers(progress))
    print(f"written to {args.out}: {file_name}{' and pictures' if picture_paths else ''}, {len(failed)} photos failed")
    return 1 if failed else 0


def _common_folder(paths):
    """Return the deepest folder that contains all given photos and folders."""
    places = map(os.path.abspath, paths)
    return os.path.commonpath([place if os.path.isdir(place) else os.path.dirname(place) for place in places])
