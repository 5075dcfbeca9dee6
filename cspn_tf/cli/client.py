"""Send photos to a served model and print one line of JSON per photo: garments, boxes, keypoints.

The exit code is 0 if every photo got status 0 (and was drawn, with --draw), else 1. A photo that cannot be read,
decoded or drawn is reported in one line on stderr and does not affect the others.
"""

import argparse
import collections
import dataclasses
import functools
import sys
from pathlib import Path

import numpy as np

from cspn_tf.cli.answers import name_pictures, reported, write_json_lines
from cspn_tf.console import CallError, Parser, positive_float, positive_int, run, termination_as_interrupt
from cspn_tf.contract import BYTES_SIGNATURE, DEFAULT_MODEL_NAME, PIXELS_SIGNATURE
from cspn_tf.result import STATUS_UNREADABLE, Result
from cspn_tf.serve.client import DEFAULT_BATCH_SIZE, Client, batches


def main(argv=None):
    args = _parse(argv)
    out = Path(args.out) if args.out else None
    if args.draw and out is None:
        raise CallError("--draw needs --out")
    with termination_as_interrupt():
        return _answer_photos(args, out)


def _answer_photos(args, out):
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    picture_paths = name_pictures(args.photos, out) if args.draw else {}
    failed = []

    def answers(client):
        ask = functools.partial(_ask_with_pixels, client) if args.signature == PIXELS_SIGNATURE else client.predict
        for result in reported(_ask(ask, args.photos, client.batch_size), picture_paths, failed):
            print(result.to_json(), flush=True)
            yield result

    with Client(args.server, args.model_name, timeout=args.timeout, batch_size=args.batch_size) as client:
        client.wait_until_connected()
        if out is None:
            collections.deque(answers(client), maxlen=0)
        else:
            write_json_lines(out / "predictions.jsonl", answers(client))
    return 1 if failed else 0


def _parse(argv):
    parser = Parser(any_names=("photos",), description=__doc__.split("\n\n")[0], epilog=__doc__.split("\n\n")[1])
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="JPEG or PNG file")
    parser.add_argument("--server", type=_address, default="localhost:8500", help="HOST:PORT of the gRPC server")
    parser.add_argument("--model-name", default=DEFAULT_MODEL_NAME, help="name under which the model is served")
    parser.add_argument("--out", metavar="DIR", help="directory for predictions.jsonl and pictures (default: none)")
    parser.add_argument("--draw", action="store_true", help="also write <photo>.keypoints.jpg to --out")
    parser.add_argument(
        "--batch-size", type=positive_int, default=DEFAULT_BATCH_SIZE, help="maximum photos per request"
    )
    parser.add_argument("--timeout", type=positive_float, default=120.0, help="seconds allowed per request")
    parser.add_argument(
        "--signature",
        choices=[BYTES_SIGNATURE, PIXELS_SIGNATURE],
        default=BYTES_SIGNATURE,
        help="send photo files, or photos decoded by the client",
    )
    return parser.parse_args(argv)


def _ask(ask, photos, batch_size):
    """Yield the `Result` of each photo, in order, as responses arrive.

    Args:
        ask: function that takes a non-empty list of photo files as bytes and returns an iterable of their results.
        photos: paths.
        batch_size: maximum number of files per list.
    """
    files = ((photo, _read(photo)) for photo in photos)
    for batch in batches(files, batch_size, size=lambda item: len(item[1] or b"")):
        readable = [file for _, file in batch if file is not None]
        results = iter(ask(readable) if readable else [])
        for photo, file in batch:
            result = Result(STATUS_UNREADABLE) if file is None else next(results)
            yield dataclasses.replace(result, name=photo)


def _read(photo):
    try:
        return Path(photo).read_bytes()
    except OSError:
        return None


def _ask_with_pixels(client, files):
    """Decode files, send them one by one, and yield the results; a request can only hold photos of equal size."""
    from cspn_tf.config import Config
    from cspn_tf.decoding import decode_photo

    for file in files:
        pixels, _, status = decode_photo(file, Config.max_pixels)
        yield client.predict_pixels(pixels.numpy()[np.newaxis])[0] if int(status) == 0 else Result(int(status))


def _address(text):
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) <= 65535:
        raise argparse.ArgumentTypeError(f"must be HOST:PORT, received {text}")
    return text


if __name__ == "__main__":
    sys.exit(run(main))
