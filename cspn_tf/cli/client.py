"""Send photos to a served model and print one line of JSON a photo: garments, boxes, keypoints.

The exit code is 0 when every photo was answered with status 0 (and drawn, if asked), else 1; a photo that could not
be read, decoded or drawn costs nothing but itself, and one line on stderr.
"""

import argparse
import collections
import dataclasses
import sys
from pathlib import Path

import numpy as np

from cspn_tf.cli.answers import complain, draw, name_pictures, write_json_lines
from cspn_tf.console import CallError, Parser, positive_int, positive_seconds, run, termination_as_interrupt
from cspn_tf.contract import BYTES_SIGNATURE, DEFAULT_MODEL_NAME, PIXELS_SIGNATURE
from cspn_tf.result import Result
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
    # Photos that cannot be read are known before a server is asked for the others.
    readable = [photo for photo in args.photos if _is_readable(photo)]
    if not readable:
        return 1
    picture_paths = name_pictures(readable, out) if args.draw else {}
    failed = [photo for photo in args.photos if photo not in set(readable)]

    def answers(client):
        ask = _ask_with_pixels if args.signature == PIXELS_SIGNATURE else _ask_with_bytes
        for result in ask(client, readable):
            print(result.to_json(), flush=True)
            if not result.ok:
                complain(f"{result.name}: {result.status_meaning}")
            if not result.ok or (picture_paths and not draw(result, picture_paths[result.name])):
                failed.append(result.name)
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
    """Yield the `Result` of each photo, in order, as the answers come."""
    files = ((photo, Path(photo).read_bytes()) for photo in photos)
    for batch in batches(files, client.batch_size, size=lambda item: len(item[1])):
        results = client.predict([data for _, data in batch])
        for (photo, _), result in zip(batch, results, strict=True):
            yield dataclasses.replace(result, name=photo)


def _ask_with_pixels(client, photos):
    """As `_ask_with_bytes`, with the photos decoded here and sent one by one, since a request holds one size only."""
    from cspn_tf.config import Config
    from cspn_tf.decoding import decode_photo

    for photo in photos:
        pixels, _, status = decode_photo(Path(photo).read_bytes(), Config.max_pixels)
        answered = int(status) == 0
        result = client.predict_pixels(pixels.numpy()[np.newaxis])[0] if answered else Result(int(status))
        yield dataclasses.replace(result, name=photo)


def _is_readable(photo):
    try:
        with open(photo, "rb"):
            return True
    except OSError as error:
        complain(f"cannot read {photo}: {error.strerror or error}")
        return False


def _address(text):
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) <= 65535:
        raise argparse.ArgumentTypeError(f"must be HOST:PORT, received {text}")
    return text


if __name__ == "__main__":
    sys.exit(run(main))
