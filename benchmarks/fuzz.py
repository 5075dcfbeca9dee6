"""Send damaged photos to a SavedModel, each batch with one good photo, and report what they cost and what they change.

Real encodings (JPEG and PNG of every kind, and other formats) are mutated: bits, bytes, lengths, cuts, repeated and
foreign parts, sizes in headers. A batch that fails, or a good photo whose answer is moved by its neighbours, is a
defect: the exit code is then 1.
"""

import heapq
import io
import os
import random
import struct
import sys
import time
import warnings
import zlib

import numpy as np

from benchmarks.commands import add_json, write_figures
from benchmarks.photos import read_photos, synthesise_photo
from benchmarks.workers.worker import peak_rss_mb
from cspn_tf.console import Parser, UserError, positive_float, positive_int, run
from cspn_tf.contract import STATUS_MEANINGS, STATUS_UNDECODABLE, check_outputs
from cspn_tf.files import picture_bytes
from cspn_tf.inference.versions import latest_version
from cspn_tf.machine import describe_machine, num_cores, set_threads

# Pixels, and shares of scores. Below it is rounding: on some CPUs sums depend on the number of garments in a batch.
_MOVED = 1e-3
# Batches whose photos are timed one by one at the end.
_NUM_SLOWEST = 8
_MEGABYTE = 1_000_000
_FORMATS = ("JPEG", "PNG")


def main(argv=None):
    args = _parse(argv)
    _, version_dir = latest_version(args.model)
    set_threads(args.threads, args.threads)
    from cspn_tf.inference.predictors import from_saved_model

    good = read_photos(args.photo) if args.photo else [synthesise_photo(size) for size in (180, 256, 320)]
    found = fuzz(
        from_saved_model(version_dir).predict, good, seconds=args.seconds, seed=args.seed, batch_size=args.batch_size
    )
    found |= {"machine": {**describe_machine(), "threads": args.threads}, "seed": args.seed}
    print(format_report(found))
    write_figures(args, found)
    return 1 if found["failed_batches"] or found["moved"] else 0


def _parse(argv):
    parser = Parser(any_names=("photo",), description=__doc__.split("\n\n")[0], epilog=__doc__.split("\n\n")[1])
    parser.add_argument("--model", required=True, metavar="DIR", help="model directory with version subdirectories")
    parser.add_argument("--seconds", type=positive_float, default=60.0, help="how long to send photos")
    parser.add_argument("--seed", type=int, default=0, help="seed of the mutations")
    parser.add_argument("--batch-size", type=positive_int, default=16, help="photos per batch, one of them good")
    parser.add_argument("--threads", type=positive_int, default=num_cores(), help="TensorFlow's threads")
    parser.add_argument("--photo", nargs="+", default=[], metavar="FILE", help="good photos (default: synthesised)")
    add_json(parser)
    args = parser.parse_args(argv)
    if args.batch_size < 2:
        parser.error("--batch-size must be at least 2: one photo of each batch is good")
    return args


def fuzz(answer, good, *, seconds, seed, batch_size) -> dict:
    """Send batches of mutated photos with one good photo each.

    Args:
        answer: function of a list of files that returns the served contract's outputs as arrays.
        good: photo files that get status 0.
        seconds: how long to go on.
        seed: of the mutations.
        batch_size: photos in a batch, at least 2.

    Returns:
        A JSON-ready dict: inputs, seconds, failed_batches, errors (the first three), moved (good answers that were not
        those of the photo alone, beyond rounding), largest_move, statuses (count by status), read_by_pillow (of those
        that could not be decoded, count by format), peak_mb (before the next); slowest, of the mutated photos in the
        slowest batches: kilobytes, pixels, status, seconds, over_good (the time divided by that of a good JPEG of as
        many pixels), and over_12_mp (divided by that of a good JPEG of 12 megapixels).

    Raises:
        UserError: a good photo is not answered with status 0.
    """
    alone = [answer([photo]) for photo in good]
    if any(outputs["status"][0] for outputs in alone):
        raise UserError("a good photo is not answered with status 0")
    draw, files = random.Random(seed), encodings(good)
    statuses, pillow = dict.fromkeys(STATUS_MEANINGS, 0), dict.fromkeys(_FORMATS, 0)
    errors, slowest, num_inputs, num_failed, moves = [], [], 0, 0, []
    start = said = time.monotonic()
    while (now := time.monotonic()) - start < seconds:
        if now - said > 60:
            print(f"{num_inputs} inputs in {now - start:.0f} of {seconds:.0f} s", flush=True)
            said = now
        mutated = [mutate(draw, files) for _ in range(batch_size - 1)]
        which, place = draw.randrange(len(good)), draw.randrange(batch_size)
        batch = [*mutated[:place], good[which], *mutated[place:]]
        before = time.monotonic()
        try:
            outputs = answer(batch)
            check_outputs(outputs)
        except Exception as error:  # whatever fails a batch is what is looked for
            num_failed += 1
            errors = [*errors, " ".join(f"{type(error).__name__}: {error}".split())[:300]][:3]
            continue
        finally:
            entry = (time.monotonic() - before, num_inputs, mutated)
            (heapq.heappush if len(slowest) < _NUM_SLOWEST else heapq.heappushpop)(slowest, entry)
            num_inputs += len(mutated)
        for file, status in zip(mutated, np.delete(outputs["status"], place), strict=True):
            statuses[int(status)] += 1
            if status == STATUS_UNDECODABLE and (kind := _read_by_pillow(file)):
                pillow[kind] += 1
        moves.append(max(float(np.abs(outputs[name][place] - alone[which][name][0]).max()) for name in outputs))
    elapsed, peak_mb = time.monotonic() - start, peak_rss_mb([os.getpid()])
    return {
        "inputs": num_inputs,
        "seconds": elapsed,
        "failed_batches": num_failed,
        "errors": errors,
        "moved": sum(move > _MOVED for move in moves),
        "largest_move": max(moves, default=0.0),
        "statuses": statuses,
        "read_by_pillow": pillow,
        "slowest": _slowest(answer, [file for _, _, mutated in slowest for file in mutated]),
        "peak_mb": peak_mb,
    }


def _read_by_pillow(file):
    """Return the format of a file that Pillow decodes, or None."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(file), formats=_FORMATS)
            image.load()
    except Exception:  # Pillow raises nearly anything for a damaged file
        return None
    return image.format


def _slowest(answer, files):
    """Time files alone, and describe the slowest one."""
    if not files:
        return None

    def seconds(file, repeats=1):
        times = []
        for _ in range(repeats):
            before = time.monotonic()
            status = int(answer([file])["status"][0])
            times.append(time.monotonic() - before)
        return min(times), status

    slowest = max(files, key=lambda file: seconds(file)[0])
    height, width = claimed_size(slowest)
    taken, status = seconds(slowest, 3)
    side = int(min(max(height * width, 1) ** 0.5, 7000))
    return {
        "kilobytes": len(slowest) / 1000,
        "pixels": height * width,
        "status": status,
        "seconds": taken,
        "over_good": taken / seconds(synthesise_photo(max(side, 16)), 3)[0],
        "over_12_mp": taken / seconds(synthesise_photo(3464), 3)[0],
    }


def claimed_size(file) -> tuple:
    """Return height and width by the header of a JPEG or PNG file; zeros if there are none."""
    if file[:4] == b"\x89PNG" and len(file) >= 24:
        width, height = struct.unpack(">II", file[16:24])
        return height, width
    position = 2
    while file[:2] == b"\xff\xd8" and position + 9 <= len(file) and file[position] == 0xFF:
        marker, length = file[position + 1], int.from_bytes(file[position + 2 : position + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return struct.unpack(">HH", file[position + 5 : position + 9])
        position += 2 + length
    return 0, 0


# Photos --------------------------------------------------------------------------------------------------------------


def encodings(photos) -> list[bytes]:
    """Return photos in the encodings that are mutated."""
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    found = list(photos)
    for photo in photos:
        image = Image.open(io.BytesIO(photo)).convert("RGB")
        image.thumbnail((256, 256))
        forms = [
            (image, "JPEG", {"quality": 85}),
            (image, "JPEG", {"quality": 85, "progressive": True, "exif": exif}),
            (image, "JPEG", {"quality": 30, "subsampling": 0, "restart_marker_blocks": 4}),
            (image.convert("L"), "JPEG", {}),
            (image.convert("CMYK"), "JPEG", {}),
            (image, "PNG", {"exif": exif}),
            (image.convert("RGBA"), "PNG", {}),
            (image.quantize(16), "PNG", {"bits": 4}),
            (image.convert("L").convert("I;16"), "PNG", {}),
            (image.convert("1"), "PNG", {}),
            *((image, name, {}) for name in ("GIF", "BMP", "TIFF", "WEBP")),
        ]
        found += [picture_bytes(picture, name, **options) for picture, name, options in forms]
    return found


def mutate(draw, files) -> bytes:
    """Return one of the files after one to four mutations."""
    content = bytearray(draw.choice(files))
    for _ in range(draw.choice((1, 1, 2, 4))):
        draw.choice(_MUTATIONS)(draw, content, files)
    return bytes(content)


def _place(draw, content, room=1):
    """Return a position, in the first bytes, where the headers are, as often as anywhere."""
    last = max(len(content) - room, 0)
    return draw.randint(0, min(last, 64) if draw.random() < 0.5 else last)


def _flip_bits(draw, content, files):
    for _ in range(draw.choice((1, 1, 8, 64)) if content else 0):
        content[_place(draw, content)] ^= 1 << draw.randrange(8)


def _overwrite(draw, content, files):
    position = _place(draw, content)
    value = draw.choice((b"\0", b"\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", draw.randbytes(draw.randint(1, 16))))
    content[position : position + len(value)] = value


def _cut_off(draw, content, files):
    del content[_place(draw, content) :]


def _remove(draw, content, files):
    position = _place(draw, content)
    del content[position : position + draw.randint(1, max(len(content) // 4, 1))]


def _repeat(draw, content, files):
    position = _place(draw, content)
    part = content[position : position + draw.randint(1, 4096)]
    content[position:position] = part * draw.choice((1, 2, 50))


def _splice(draw, content, files):
    other = draw.choice(files)
    position = draw.randint(0, len(other))
    part = other[position : position + draw.randint(1, 4096)]
    first = _place(draw, content)
    last = first + draw.choice((0, len(part)))
    content[first:last] = part


def _resize_header(draw, content, files):
    """Change the size in a header, which then does not fit the data."""
    sides = [draw.choice((0, 1, 255, 4000, 7071, 65500, draw.randint(1, 1000))) for _ in range(2)]
    if content[:4] == b"\x89PNG":
        content[16:24] = struct.pack(">II", *sides)
        # With a right checksum, or else the header is all that is read.
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
        return
    for marker in (b"\xff\xc0", b"\xff\xc2"):
        position = content.find(marker)
        if position > 0:
            content[position + 5 : position + 9] = struct.pack(">HH", *sides)


def _repeat_scan(draw, content, files):
    start = content.rfind(b"\xff\xda")
    if start > 0:
        content[-2:] = content[start:-2] * draw.choice((2, 20, 2000)) + content[-2:]
        del content[8 * _MEGABYTE :]


def _swap_chunks(draw, content, files):
    """Exchange two chunks of a PNG, or give one a wrong length."""
    starts, position = [], 8
    while content[:4] == b"\x89PNG" and position + 12 <= len(content) and len(starts) < 100:
        starts.append(position)
        position += 12 + int.from_bytes(content[position : position + 4], "big")
    if len(starts) < 3:
        return
    if draw.random() < 0.5:
        first, second = sorted(draw.sample(range(len(starts) - 1), 2))
        parts = [content[a:b] for a, b in zip(starts, [*starts[1:], len(content)], strict=True)]
        parts[first], parts[second] = parts[second], parts[first]
        content[8:] = b"".join(parts)
    else:
        position = draw.choice(starts)
        content[position : position + 4] = struct.pack(">I", draw.choice((0, 1, 2**31 - 1, draw.randrange(10**6))))


_MUTATIONS = (
    _flip_bits,
    _flip_bits,
    _overwrite,
    _overwrite,
    _cut_off,
    _remove,
    _repeat,
    _splice,
    _resize_header,
    _repeat_scan,
    _swap_chunks,
)


def format_report(found) -> str:
    """Return the result of `fuzz` as text."""
    lines = [
        f"{found['inputs']} inputs in {found['seconds']:.0f} s, seed {found['seed']}, "
        f"{found['machine']['threads']} threads of {found['machine']['cpu']}",
        f"failed batches: {found['failed_batches']}",
        *(f"  {error}" for error in found["errors"]),
        f"good answers moved: {found['moved']} (by at most {found['largest_move']:g})",
        *(f"status {code}, {words}: {found['statuses'][code]}" for code, words in STATUS_MEANINGS.items()),
        "  of those that could not be decoded, Pillow reads "
        + " and ".join(f"{num} {kind}" for kind, num in found["read_by_pillow"].items()),
        f"peak memory: {found['peak_mb']:.0f} MB",
    ]
    if slowest := found["slowest"]:
        lines.append(
            f"slowest input: {slowest['kilobytes']:.0f} kB, {slowest['pixels'] / 1e6:.1f} megapixels by its header, "
            f"status {slowest['status']}, {slowest['seconds']:.2f} s: {slowest['over_good']:.1f} times a good JPEG of "
            f"as many pixels, {slowest['over_12_mp']:.1f} times a good JPEG of 12 megapixels"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run(main))
