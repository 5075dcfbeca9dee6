"""Draw the labels of a prepared dataset: one picture for each garment type, with a row for each variation.

python -m training.label_sheets --data DIR --out DIR
"""

import sys
from pathlib import Path

from PIL import Image

from cspn_tf import drawing
from cspn_tf.console import Parser, positive_int, run
from cspn_tf.data.samples import SPLITS
from cspn_tf.evaluation.inputs import Photos
from cspn_tf.files import write_picture
from cspn_tf.garments import GARMENT_TYPE_NAMES, GarmentType, Variation

_TILE_SIZE = 200


def main(argv=None) -> int:
    """Write the pictures."""
    parser = Parser(description="Draw the labels of a prepared dataset by garment type and variation.")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="output directory of training.prepare")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output directory for the pictures")
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--columns", type=positive_int, default=6, help="photos of each type and variation")
    args = parser.parse_args(argv)

    photos = choose(args.data, args.split, args.columns)
    args.out.mkdir(parents=True, exist_ok=True)
    for garment_type, name in GARMENT_TYPE_NAMES.items():
        of_type = {variation: photos.get((garment_type, variation), []) for variation in Variation}
        if any(of_type.values()):
            path = args.out / f"labels-{name}.jpg"
            write_picture(path, draw(of_type), quality=80)
            print(path)
    return 0


def choose(data_dir, split, num) -> dict:
    """Return the first photos of each garment type and variation.

    Args:
        data_dir: a prepared dataset.
        split: one of `SPLITS`.
        num: maximum number of photos of each; a photo has the type and variation of its largest garment, and is left
            out if it has none.

    Returns:
        A dict of (garment type, variation) to a list of `cspn_tf.evaluation.inputs.LabelledPhoto`.

    Raises:
        UserError: the dataset cannot be read, or has no photos in the split.
    """
    wanted = [(t, v) for t in GarmentType for v in Variation if v != Variation.UNKNOWN]
    found = {}
    for photo in Photos(data_dir, split):
        garments = photo.garments
        if not len(garments):
            continue
        largest = (garments.boxes_xyxy[:, 2:] - garments.boxes_xyxy[:, :2]).prod(axis=1).argmax()
        kind = GarmentType(garments.types[largest]), Variation(garments.variations[largest])
        if len(found.setdefault(kind, [])) < num:
            found[kind].append(photo)
        if all(len(found.get(kind, ())) == num for kind in wanted):
            break
    return found


def draw(photos_of_variations):
    """Draw photos with their labels, one row per variation.

    Args:
        photos_of_variations: dict of `Variation` to a list of `LabelledPhoto`; an empty list gets no row.

    Returns:
        An RGB picture.
    """
    rows = []
    for variation, photos in photos_of_variations.items():
        if photos:
            words = variation.name.lower().replace("_", " ")
            tiles = [_draw_photo(photo) for photo in photos]
            rows.append(drawing.contact_sheet(tiles, len(tiles), _TILE_SIZE, [words] * len(tiles)))
    sheet = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), (250, 250, 248))
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    return sheet


def _draw_photo(photo):
    from cspn_tf.decoding import pixels_as_displayed

    return drawing.draw_garments(Image.fromarray(pixels_as_displayed(photo.photo_bytes)), photo.garments)


if __name__ == "__main__":
    sys.exit(run(main))
