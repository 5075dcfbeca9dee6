"""Draw pictures without garments, as catalogues have them: one colour, gradients, noise, "no image available".

Without such pictures among the training photos, a detector finds a garment that fills most of them. Writes the pictures
as `0000.png` and so on, and `labels.SPLIT.json`, COCO keypoints without annotations, whose file names begin with the
name of the folder: `prepare --source coco --root PARENT --annotations PARENT/FOLDER/labels.train.json ...`.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cspn_tf.console import Parser, non_negative_int, positive_int, run
from cspn_tf.data.coco import write_coco
from cspn_tf.data.samples import SPLITS, Sample
from cspn_tf.files import staged_directory, write_picture
from cspn_tf.garment_set import Garments

_SIDES = (300, 900)  # pixels
_TEXTS = ("No image available", "IMAGE COMING SOON", "photo to follow", "Kein Bild", "404", "Sample", "N/A")


def main(argv=None) -> int:
    parser = Parser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="new folder")
    parser.add_argument("--num", type=positive_int, default=120, metavar="N", help="number of pictures")
    parser.add_argument("--split", default="train", choices=SPLITS, help="split that the labels name")
    parser.add_argument("--seed", type=non_negative_int, default=0, help="seed of the pictures")
    args = parser.parse_args(argv)
    rng, photos = np.random.default_rng(args.seed), []
    with staged_directory(args.out, resumable=False) as folder:
        for index in range(args.num):
            picture, name = draw(rng, index), f"{index:04}.png"
            write_picture(folder / name, picture)
            sample = Sample(
                f"{args.out.name}/{name}", args.split, Garments.concatenate([]), "drawn", str(folder / name)
            )
            photos.append((sample, picture.height, picture.width))
        write_coco(folder / f"labels.{args.split}.json", photos)
    print(f"{args.num} pictures written to {args.out}")
    return 0


def draw(rng, index) -> Image.Image:
    """Return a picture of random size, RGB; the kinds follow each other by `index`."""
    width, height = rng.integers(*_SIDES, 2)
    plain = np.tile(_colour(rng).astype(float), (height, width, 1))
    return KINDS[index % len(KINDS)](rng, plain)


def _plain(rng, pixels):
    return Image.fromarray(np.uint8(pixels))


def _gradient(rng, pixels):
    """From the colour to another one, straight in any direction, or round."""
    y, x = np.indices(pixels.shape[:2]) / max(pixels.shape[:2])
    angle = rng.uniform(0, 2 * np.pi)
    along = np.hypot(x - 0.5, y - 0.5) if rng.random() < 0.3 else x * np.cos(angle) + y * np.sin(angle)
    share = (along - along.min()) / np.ptp(along)
    return Image.fromarray(np.uint8(pixels + share[..., np.newaxis] * (_colour(rng) - pixels)))


def _noise(rng, pixels):
    """Noise of random strength and grain."""
    grain = int(rng.integers(1, 30))
    height, width = pixels.shape[:2]
    coarse = rng.normal(0, rng.uniform(5, 90), (-(-height // grain), -(-width // grain), 3))
    noise = coarse.repeat(grain, axis=0).repeat(grain, axis=1)[:height, :width]
    return Image.fromarray(np.uint8(np.clip(pixels + noise, 0, 255)))


def _placeholder(rng, pixels):
    """A line of text and often a frame on the colour."""
    picture = _plain(rng, pixels)
    pencil, ink = ImageDraw.Draw(picture), tuple(_colour(rng).tolist())
    size = int(min(picture.size) * rng.uniform(0.04, 0.2))
    font, middle = ImageFont.load_default(size=size), (picture.width / 2, picture.height * rng.uniform(0.3, 0.7))
    pencil.text(middle, str(rng.choice(_TEXTS)), ink, font, anchor="mm")
    if rng.random() < 0.5:
        margin = min(picture.size) * rng.uniform(0.02, 0.3)
        box = (margin, margin, picture.width - margin, picture.height - margin)
        pencil.rectangle(box, outline=ink, width=max(size // 10, 1))
    return picture


def _shapes(rng, pixels):
    """A few lines, rectangles and ellipses."""
    picture = _plain(rng, pixels)
    pencil = ImageDraw.Draw(picture)
    for _ in range(rng.integers(1, 7)):
        points = rng.uniform(0, 1, (2, 2)) * picture.size
        box, ink = (*points.min(axis=0), *points.max(axis=0)), tuple(_colour(rng).tolist())
        kind = rng.integers(3)
        if kind == 0:
            pencil.line(points.ravel().tolist(), ink, int(rng.integers(1, 20)))
        else:
            (pencil.rectangle if kind == 1 else pencil.ellipse)(box, ink)
    return picture


def _colour(rng):
    """Return a colour, often a grey one, int `(3,)`."""
    return rng.integers(0, 256, 3) if rng.random() < 0.6 else np.repeat(rng.integers(0, 256), 3)


KINDS = (_plain, _gradient, _noise, _placeholder, _shapes)

if __name__ == "__main__":
    sys.exit(run(main))
