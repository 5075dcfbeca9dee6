"""Find garments and their keypoints in photos, and write what was found.

    cspn-tf predict photos/ more/a.jpg --model models/cspn --out out
    cspn-tf predict photos/ --model phone/cspn.tflite --out out --draw --format csv

Writes into --out, by --format:
    jsonl   predictions.jsonl       one line of JSON a photo
    csv     predictions.csv         a table with one row a garment
    coco    predictions.coco.json   a document of COCO keypoints, with scores
and with --draw a picture `<photo>.keypoints.jpg` for each photo. Each file is there whole or not at all.

The exit code is 0 when every photo was looked at (and drawn, if asked), else 1; a photo that could not be costs nothing
but itself, and one line on stderr.
"""

import sys
from pathlib import Path

from cspn_tf.cli.answers import PICTURE_SUFFIX, WRITERS, complain, draw, name_pictures
from cspn_tf.console import CallError, Parser, UserError, positive_int, run, termination_as_interrupt
from cspn_tf.progress import Progress

SUFFIXES = (".jpg", ".jpeg", ".png")


def main(argv=None) -> int:
    """Predict as the arguments say; returns the exit code."""
    args = _parse(argv)
    if args.out.exists() and not args.out.is_dir():
        raise CallError(f"--out {args.out} is a file, required a folder")
    with termination_as_interrupt():
        return _predict(args, find_photos(args.photos, args.out))


def _parse(argv):
    parts = __doc__.split("\n\n")
    parser = Parser(any_names=("photos",), description=parts[0], epilog=parts[3])
    parser.add_argument(
        "photos",
        nargs="+",
        metavar="PHOTO_OR_FOLDER",
        help="JPEG or PNG file, or a folder, searched with all in it for .jpg, .jpeg and .png; hidden files are not",
    )
    parser.add_argument(
        "--model", metavar="PATH", help="SavedModel's folder, .tflite file, or folder of a training pair"
    )
    parser.add_argument("--detector", metavar="DIR", help="in place of --model: the detector's training")
    parser.add_argument("--keypoints", metavar="DIR", help="and the keypoint network's")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write into")
    parser.add_argument("--draw", action="store_true", help="write <photo>.keypoints.jpg too")
    parser.add_argument("--format", choices=WRITERS, default="jsonl", help="what is written")
    parser.add_argument("--batch-size", type=positive_int, default=8, help="photos that are looked at together")
    args = parser.parse_args(argv)
    is_pair = bool(args.detector and args.keypoints)
    if bool(args.model) == is_pair or bool(args.detector) != bool(args.keypoints):
        parser.error("give either --model, or --detector and --keypoints")
    return args


def find_photos(paths, out) -> list[str]:
    """Return the photos that paths name, folders searched, each once.

    Args:
        paths: of photos and folders, strings.
        out: folder of pictures that an earlier call may have drawn; a search passes over them.

    Raises:
        UserError: a folder has none.
    """
    photos = []
    for path in paths:
        if not Path(path).is_dir():
            photos.append(path)
            continue
        found = [file for file in _files_below(Path(path)) if file.suffix.lower() in SUFFIXES]
        found = [
            file
            for file in found
            if not (file.name.endswith(PICTURE_SUFFIX) and file.parent.resolve() == out.resolve())
        ]
        if not found:
            raise UserError(f"{path}: no photo in it: no {', '.join(SUFFIXES)}")
        photos += map(str, found)
    return list(dict.fromkeys(photos))


def _files_below(folder):
    """Yield a folder's files and those of folders in it, sorted, but no hidden ones: macOS puts such beside photos."""
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    for entry in entries:
        if not entry.is_dir():
            yield entry
        elif not entry.is_symlink():  # which may lead in circles
            yield from _files_below(entry)


def _predict(args, photos):
    from cspn_tf.inference.model import load

    model = load(args.model, detector=args.detector, keypoints=args.keypoints)
    args.out.mkdir(parents=True, exist_ok=True)
    picture_paths = name_pictures(photos, args.out) if args.draw else {}
    file_name, write = WRITERS[args.format]
    failed = []

    def answers(progress):
        for num_done, result in enumerate(model(iter(photos), args.batch_size), start=1):
            if not result.ok:
                complain(f"{result.name}: {result.status_meaning}")
            if not result.ok or (picture_paths and not draw(result, picture_paths[result.name])):
                failed.append(result.name)
            yield result
            progress(num_done, len(photos))

    with Progress("looked at") as progress:
        write(args.out / file_name, answers(progress))
    print(f"written to {args.out}: {file_name}{' and pictures' if picture_paths else ''}, {len(failed)} photos failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run(main))
