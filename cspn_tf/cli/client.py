"""Send photos to a served model and print one line of JSON per photo: garments, boxes, keypoints.

The exit code is 0 if every photo got status 0 (and was drawn, with --draw), else 1. A photo that cannot be read,
decoded or drawn is reported in one line on stderr and does not affect the others.

With --out, results are kept as they arrive: if the server fails or the run is interrupted, `predictions.partial.jsonl`
has those that arrived and `unanswered.txt` names the other photos; --resume requests only these.
"""

import argparse
import collections
import contextlib
import dataclasses
import functools
import json
import os
import re
import sys
from pathlib import Path

import numpy as np

from cspn_tf.cli.answers import complain, name_pictures, reported, write_coco
from cspn_tf.cli.photo_paths import find_existing_photos
from cspn_tf.console import CallError, Parser, UserError, positive_float, positive_int, termination_as_interrupt
from cspn_tf.contract import (
    BYTES_SIGNATURE,
    DEFAULT_MODEL_NAME,
    PIXELS_SIGNATURE,
    STATUS_OK,
    STATUS_TOO_LARGE,
    TOO_MANY_PIXELS,
)
from cspn_tf.files import write_bytes, write_text
from cspn_tf.progress import Progress
from cspn_tf.result import STATUS_UNREADABLE, Result
from cspn_tf.serve.client import DEFAULT_BATCH_SIZE, DEFAULT_IN_FLIGHT, Client, Tls

_COMPLETE, _PARTIAL, _UNANSWERED = "predictions.jsonl", "predictions.partial.jsonl", "unanswered.txt"


def main(argv=None):
    args = _parse(argv)
    for given, name in ((args.draw, "--draw"), (args.resume, "--resume"), (args.coco, "--coco")):
        if given and args.out is None:
            raise CallError(f"{name} needs --out")
    with termination_as_interrupt():
        return _request_photos(args)


def _request_photos(args):
    out = args.out
    photos, failed = find_existing_photos(args.photos)
    if not photos:
        return 1
    options = {"model_name": args.model_name, "timeout": args.timeout, "batch_size": args.batch_size}
    options |= {"in_flight": args.in_flight, "tls": args.tls, "metadata": args.metadata}
    with Client(args.server, **options) as client:
        client.wait_until_connected()
        if out is None:
            for result in reported(_ask(client, args.signature, photos), {}, failed):
                print(result.to_json(), flush=True)
        else:
            _request_into(out, client, args, photos, failed)
    return 1 if failed else 0


def _request_into(out, client, args, photos, failed):
    """Request the photos that have no result in the folder yet, and write the results there."""
    out.mkdir(parents=True, exist_ok=True)
    partial, unanswered = out / _PARTIAL, out / _UNANSWERED
    picture_paths = name_pictures(photos, out) if args.draw else {}
    if not args.resume and partial.exists() and partial.stat().st_size:
        raise CallError(f"{partial} has the results of an unfinished run: continue it with --resume, or delete them")
    earlier = _earlier_results(out) if args.resume else {}
    num_of_stem = collections.Counter(Path(name).stem for name in photos)
    for name, result in list(earlier.items()):
        picture = picture_paths.get(name)
        # A photo that was added changes the numbers of pictures that share a stem.
        is_drawn = picture is None or (picture.exists() and num_of_stem[Path(name).stem] == 1)
        if result.status == STATUS_UNREADABLE or (result.ok and not is_drawn):
            del earlier[name]  # it is requested again
    failed_earlier = [earlier[name] for name in photos if name in earlier and not earlier[name].ok]
    list(reported(failed_earlier, {}, failed))
    left = [name for name in photos if name not in earlier]
    write_text(partial, "".join(result.to_json() + "\n" for result in earlier.values()))
    num_done = 0
    try:
        with (
            partial.open("a") as file,
            Progress("requested", stream=sys.stderr) if sys.stderr.isatty() else contextlib.nullcontext() as progress,
        ):
            for result in reported(_ask(client, args.signature, left), picture_paths, failed):
                line = result.to_json() + "\n"
                file.write(line)
                file.flush()
                num_done += 1
                print(line, end="", flush=True)
                if progress:
                    progress(num_done, len(left))
    except BaseException:
        # Names are written byte for byte: they need not be UTF-8.
        write_bytes(unanswered, os.fsencode("".join(f"{name}\n" for name in left[num_done:])))
        num_kept = len(earlier) + num_done
        complain(
            f"{len(left) - num_done} photos have no result, see {unanswered}; {num_kept} are kept in {partial}: "
            "the same command with --resume requests the others"
        )
        raise
    partial.replace(out / _COMPLETE)
    unanswered.unlink(missing_ok=True)
    if args.coco:
        results = _earlier_results(out)
        write_coco(out / "predictions.coco.json", (results[name] for name in photos), folder=None)


def _earlier_results(out):
    """Return the results of the last run, finished or not, by photo. Lines that were cut off are ignored."""
    found = {}
    path = out / (_PARTIAL if (out / _PARTIAL).exists() else _COMPLETE)
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            result = Result.from_dict(json.loads(line))
        except (ValueError, KeyError, TypeError):
            continue
        found[result.name] = result
    return found


def _parse(argv):
    description, *more = __doc__.split("\n\n")
    parser = Parser(any_names=("photos",), description=description, epilog="\n\n".join(more))
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="JPEG, PNG or WebP file, or a folder of such")
    parser.add_argument("--server", type=_address, default="localhost:8500", help="HOST:PORT of the gRPC server")
    parser.add_argument("--model-name", default=DEFAULT_MODEL_NAME, help="name under which the model is served")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for predictions.jsonl and pictures")
    parser.add_argument("--resume", action="store_true", help="request only photos without a result in --out")
    parser.add_argument("--draw", action="store_true", help="also write <photo>.keypoints.jpg to --out")
    parser.add_argument("--coco", action="store_true", help="also write predictions.coco.json to --out")
    parser.add_argument(
        "--batch-size", type=positive_int, default=DEFAULT_BATCH_SIZE, help="maximum photos per request"
    )
    parser.add_argument(
        "--in-flight", type=positive_int, default=DEFAULT_IN_FLIGHT, metavar="N", help="maximum requests at a time"
    )
    parser.add_argument(
        "--timeout",
        type=positive_float,
        default=120.0,
        help="seconds allowed per request, with retries while the server is unavailable",
    )
    parser.add_argument(
        "--signature",
        choices=[BYTES_SIGNATURE, PIXELS_SIGNATURE],
        default=BYTES_SIGNATURE,
        help="send photo files, or photos decoded by the client",
    )
    parser.add_argument("--tls", action="store_true", help="encrypt the connection")
    parser.add_argument("--ca", metavar="FILE", help="PEM file of the trusted authorities (default: gRPC's own)")
    parser.add_argument("--cert", metavar="FILE", help="PEM file of the client's certificate, for mutual TLS")
    parser.add_argument("--key", metavar="FILE", help="PEM file of the client's private key")
    parser.add_argument(
        "--metadata", type=_pair, action="append", default=[], metavar="KEY=VALUE", help="sent with every request"
    )
    args = parser.parse_args(argv)
    if (args.ca or args.cert or args.key) and not args.tls:
        parser.error("--ca, --cert and --key need --tls")
    args.tls = Tls(args.ca, args.cert, args.key) if args.tls else None
    return args


def _ask(client, signature, photos):
    """Yield the `Result` of each photo, in order, as responses arrive."""
    read = collections.deque()

    def files():
        for photo in photos:
            file = _read(photo)
            read.append((photo, file is not None))
            if file is not None:
                yield file

    stream = client.stream if signature == BYTES_SIGNATURE else functools.partial(_stream_pixels, client)
    for result in stream(files()):
        yield from _unreadable(read)
        yield dataclasses.replace(result, name=read.popleft()[0])
    yield from _unreadable(read)


def _unreadable(read):
    """Yield the results of the unreadable photos that come first."""
    while read and not read[0][1]:
        yield Result(STATUS_UNREADABLE, name=read.popleft()[0])


def _read(photo):
    try:
        # Reading from a pipe would wait for ever.
        return Path(photo).read_bytes() if Path(photo).is_file() else None
    except OSError:
        return None


def _stream_pixels(client, files):
    """Decode files, send them one by one, and yield the results; a request can only hold photos of equal size."""
    from cspn_tf.config import Config
    from cspn_tf.decoding import decode_photo
    from cspn_tf.pillow_photos import as_served

    for file in files:
        pixels, _, status = decode_photo(as_served(file), Config.max_pixels)
        if status != STATUS_OK:
            yield Result(int(status))
            continue
        try:
            (result,) = client.predict_pixels(pixels.numpy()[np.newaxis])
        except UserError as error:
            if TOO_MANY_PIXELS not in str(error):  # the server's limit may be lower than the default one above
                raise
            result = Result(STATUS_TOO_LARGE)
        yield result


def _pair(text):
    key, separator, value = text.partition("=")
    key = key.lower()
    if not separator or not re.fullmatch(r"[0-9a-z_.-]+", key):
        raise argparse.ArgumentTypeError(f"must be KEY=VALUE, received {text}")
    if key.endswith("-bin"):  # gRPC's own rule for bytes
        return key, value.encode()
    if not (value.isascii() and value.isprintable()):
        raise argparse.ArgumentTypeError(f"{key} must have printable ASCII characters only, received {value!r}")
    return key, value


def _address(text):
    host, _, port = text.rpartition(":")
    if not host or host.startswith(("http:", "https:")) or not port.isdigit() or not 0 < int(port) <= 65535:
        raise argparse.ArgumentTypeError(f"must be HOST:PORT, received {text}")
    return text
