"""Send photos to a served model and print one line of JSON a photo: garments, boxes, keypoints.

The exit code is 0 when every photo was answered with status 0 (and drawn, if asked), else 1; a photo that could not
be read, decoded or drawn costs nothing but itself, and one line on stderr.
"""

import argparse
import contextlib
import io
import os
import sys
from pathlib import Path

import numpy as np

from cspn_tf.console import CallError, Parser, UserError, positive_int, positive_seconds, run
from cspn_tf.contract import (
    BYTES_SIGNATURE,
    DEFAULT_MODEL_NAME,
    PIXELS_SIGNATURE,
    STATUS_NOT_A_PHOTO,
    STATUS_TOO_LARGE,
    STATUS_UNDECODABLE,
    PhotoResult,
)
from cspn_tf.serve.client import DEFAULT_BATCH_SIZE, Client, batches


def main(argv=None):
    args = _parse(argv)
    out = Path(args.out) if args.out else None
    if args.draw and out is None:
        raise CallError("--draw needs --out")
    try:
        return _answer_photos(args, out)
    except BrokenPipeError:
        # Whoever read the lines has gone; what is left in the buffer would fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        raise UserError(f"{error.filename or args.server}: {error.strerror or error}") from error


def _answer_photos(args, out):
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    # Photos that cannot be read are known before a server is asked for the others.
    readable = [photo for photo in args.photos if _is_readable(photo)]
    num_failed = len(args.photos) - len(readable)
    if not readable:
        return 1
    picture_paths = _name_pictures(readable, out) if args.draw else None
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(
            Client(args.server, args.model_name, timeout=args.timeout, batch_size=args.batch_size)
        )
        client.wait_until_connected()
        lines = stack.enter_context(_written_whole(out / "predictions.jsonl")) if out is not None else None
        ask = _ask_with_pixels if args.signature == PIXELS_SIGNATURE else _ask_with_bytes
        for photo, data, result in ask(client, readable):
            line = result.to_json(photo)
            print(line, flush=True)
            if lines is not None:
                lines.write(line + "\n")
            if not result.ok:
                num_failed += 1
                _complain(f"{photo}: {result.status_meaning}")
            elif picture_paths and not _draw(data, result, photo, picture_paths[photo]):
                num_failed += 1
    return 1 if num_failed else 0


def _parse(argv):
    parser = Parser(description=__doc__.split("\n\n")[0], epilog=__doc__.split("\n\n")[1])
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="JPEG or PNG file")
    parser.add_argument("--server", type=_address, default="localhost:8500", help="HOST:PORT of the gRPC server")
    parser.add_argument("--model-name", default=DEFAULT_MODEL_NAME, help="name the model is served under")
    parser.add_argument(
        "--out", metavar="DIR", help="directory to write predictions.jsonl and pictures to (default: none)"
    )
    parser.add_argument("--draw", action="store_true", help="write <photo>.keypoints.jpg to --out")
    parser.add_argument("--batch-size", type=positive_int, default=DEFAULT_BATCH_SIZE, help="photos a request, at most")
    parser.add_argument("--timeout", type=positive_seconds, default=120.0, help="seconds one request may take")
    parser.add_argument(
        "--signature",
        choices=[BYTES_SIGNATURE, PIXELS_SIGNATURE],
        default=BYTES_SIGNATURE,
        help="send files as they are, or photos decoded here",
    )
    return parser.parse_args(argv)


def _ask_with_bytes(client, photos):
    """Yield `(photo, file bytes, PhotoResult)` of each photo, in order, as the answers come."""
    files = ((photo, Path(photo).read_bytes()) for photo in photos)
    for batch in batches(files, client.batch_size, size=lambda item: len(item[1])):
        results = client.predict([data for _, data in batch])
        for (photo, data), result in zip(batch, results, strict=True):
            yield photo, data, result


def _ask_with_pixels(client, photos):
    """As `_ask_with_bytes`, with the photos decoded here and sent one by one, since a request holds one size only."""
    for photo in photos:
        data = Path(photo).read_bytes()
        pixels, status = _decode(data)
        yield photo, data, PhotoResult(status) if pixels is None else client.predict_pixels(pixels[np.newaxis])[0]


def _decode(data):
    """Return a photo as displayed, uint8 `(H, W, 3)`, and None; or None and the status that says why not."""
    from PIL import Image, UnidentifiedImageError

    try:
        return np.asarray(_open_as_displayed(data)), None
    except UnidentifiedImageError:
        return None, STATUS_NOT_A_PHOTO
    except Image.DecompressionBombError:
        return None, STATUS_TOO_LARGE
    except (OSError, SyntaxError, ValueError):  # what Pillow raises for damaged files
        return None, STATUS_UNDECODABLE


def _open_as_displayed(data):
    from PIL import Image, ImageOps

    return ImageOps.exif_transpose(Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))).convert("RGB")


def _draw(data, result, photo, path):
    """Write a photo with its garments drawn on; return whether that was possible."""
    from cspn_tf.drawing import draw_garments

    try:
        picture = draw_garments(_open_as_displayed(data), **result.arrays())
        with _written_whole(path, "wb") as file:
            picture.save(file, "JPEG", quality=90)
    except (OSError, SyntaxError, ValueError) as error:
        _complain(f"{photo}: cannot draw {path}: {error}")
        return False
    return True


def _name_pictures(photos, out):
    """Return photo to picture path: `<stem>.keypoints.jpg`, numbered where two photos have one stem."""
    paths, taken = {}, {Path(photo).resolve() for photo in photos}
    for photo in dict.fromkeys(photos):
        stem, number = Path(photo).stem, 1
        path = out / f"{stem}.keypoints.jpg"
        while path.resolve() in taken:
            number += 1
            path = out / f"{stem}-{number}.keypoints.jpg"
        taken.add(path.resolve())
        paths[photo] = path
    return paths


def _is_readable(photo):
    try:
        with open(photo, "rb"):
            return True
    except OSError as error:
        _complain(f"cannot read {photo}: {error.strerror or error}")
        return False


@contextlib.contextmanager
def _written_whole(path, mode="w"):
    """Open a file that appears under its name only when the block ends well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, mode) as file:
            yield file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _complain(message):
    print(f"error: {' '.join(message.split())}", file=sys.stderr, flush=True)


def _address(text):
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) <= 65535:
        raise argparse.ArgumentTypeError(f"must be HOST:PORT, received {text}")
    return text


if __name__ == "__main__":
    sys.exit(run(main))
