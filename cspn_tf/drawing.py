"""Draw boxes and keypoints on photos: predictions, labels, comparisons of both, and contact sheets.

For anti-aliasing, everything is drawn on a transparent supersampled layer that is then downscaled onto the picture.
Line widths scale with the picture. Coordinates are photo pixels with integers at pixel centres.

Letters in shapes: N garments.
"""

import functools

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cspn_tf.garments import (
    GARMENT_TYPE_NAMES,
    KEYPOINT_ABBREVIATIONS,
    SKELETON,
    GarmentType,
    Visibility,
)
from cspn_tf.lengths import MIN_VISIBLE

TYPE_COLOURS = {
    GarmentType.UPPER_BODY: (45, 125, 246),
    GarmentType.LOWER_BODY: (240, 120, 30),
    GarmentType.FULL_BODY: (150, 70, 225),
}
# One colour for each pair of keypoints: collars, sleeves, waistline, hems.
PAIR_COLOURS = ((255, 214, 10), (34, 211, 238), (255, 105, 180), (140, 230, 60))
TRUTH_COLOUR = (255, 255, 255)
OUTLINE_COLOUR = (20, 20, 24)

# Minimum long side of a picture, in pixels, for keypoint names beside the dots.
_MIN_SIZE_FOR_NAMES = 400
# Maximum side of the layer, in pixels, and maximum supersampling factor, to limit memory.
_MAX_LAYER_SIZE = 4096
_MAX_SUPERSAMPLING = 4


def draw_garments(image, garments, min_keypoint_score=0.0, scale=1.0) -> Image.Image:
    """Draw predicted or labelled garments: box and type, keypoints with their names, and the lines between them.

    Keypoints that are labelled as occluded, or predicted with a score below `MIN_VISIBLE`, are hollow dots. The tag
    includes the score if there is one.

    Args:
        image: a `PIL.Image` as displayed; not modified.
        garments: `Garments` in photo pixels; the tags of the first ones are on top.
        min_keypoint_score: keypoints with a lower score are not drawn; never drawn are unlabelled keypoints, and
            predicted ones with score 0 or absent from the garment type.
        scale: size of the returned picture relative to the photo.

    Returns:
        A new RGB picture.
    """
    layer = _Layer(image, scale)
    shown = _shown(garments, min_keypoint_score)
    _boxes(layer, garments)
    _tags(layer, garments)  # below the keypoints, which they would hide
    for points, slots in zip(garments.keypoints_xy, shown, strict=True):
        layer.skeleton(points, slots)
    for row, (points, slots) in enumerate(zip(garments.keypoints_xy, shown, strict=True)):
        for slot in np.flatnonzero(slots):
            layer.dot(points[slot], PAIR_COLOURS[slot // 2], _is_hollow(garments, row, slot))
        layer.names(points, slots, garments.boxes_xyxy[row])
    return layer.finish()


def draw_comparison(image, truth, predicted, matches, scale=1.0) -> Image.Image:
    """Draw predictions in colour over labels in white, with a white line from each label to its prediction.

    Args:
        image, scale: as for `draw_garments`.
        truth: `Garments`, the labels.
        predicted: `Garments`, the predictions.
        matches: int, the row of the matched prediction for each labelled garment, or -1.

    Returns:
        A new RGB picture.
    """
    layer = _Layer(image, scale)
    _boxes(layer, truth, TRUTH_COLOUR)
    _boxes(layer, predicted)
    for row, match in enumerate(matches):
        for slot in np.flatnonzero(truth.labelled[row]):
            if match >= 0:
                layer.line(truth.keypoints_xy[row, slot], predicted.keypoints_xy[match, slot], TRUTH_COLOUR)
            layer.dot(truth.keypoints_xy[row, slot], TRUTH_COLOUR, _is_hollow(truth, row, slot))
    for row, slot in np.argwhere(_shown(predicted)):
        layer.dot(predicted.keypoints_xy[row, slot], PAIR_COLOURS[slot // 2], size=0.8)
    _tags(layer, predicted)
    return layer.finish()


def contact_sheet(images, columns, tile_size, captions) -> Image.Image:
    """Arrange pictures in rows of equal square tiles, each resized to fit, with a caption below.

    Args:
        images: the pictures, at least one.
        columns: tiles per row; with fewer pictures the sheet is narrower.
        tile_size: side of a tile, pixels.
        captions: one text per picture, truncated to the tile's width.

    Returns:
        An RGB picture.
    """
    columns = min(columns, len(images))
    gap = max(tile_size // 24, 4)
    font = _font(max(tile_size // 20, 10))
    caption_height = round(font.size * 1.8)
    step_x, step_y = tile_size + gap, tile_size + gap + caption_height
    num_rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (gap + columns * step_x, gap + num_rows * step_y), (250, 250, 248))
    draw = ImageDraw.Draw(sheet)
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        x, y = gap + index % columns * step_x, gap + index // columns * step_y
        shrink = tile_size / max(image.size)
        width, height = (max(round(side * shrink), 1) for side in image.size)
        tile = image.convert("RGB")
        if tile.size != (width, height):
            tile = tile.resize((width, height), Image.Resampling.LANCZOS)
        draw.rectangle((x, y, x + tile_size - 1, y + tile_size - 1), fill=(232, 232, 228))
        sheet.paste(tile, (x + (tile_size - width) // 2, y + (tile_size - height) // 2))
        text = _cut(caption, font, tile_size)
        draw.text((x + tile_size / 2, y + tile_size + caption_height / 2), text, (60, 60, 64), font, anchor="mm")
    return sheet


class _Layer:
    """A transparent drawing surface over a photo; the methods take photo pixels."""

    def __init__(self, image, scale):
        if not scale > 0:
            raise ValueError(f"scale must be above 0, received {scale}")
        size = tuple(max(round(side * scale), 1) for side in image.size)
        self.picture = image.convert("RGB")
        if size != image.size:
            self.picture = self.picture.resize(size, Image.Resampling.LANCZOS)
        self.supersampling = min(max(_MAX_LAYER_SIZE // max(size), 1), _MAX_SUPERSAMPLING)
        self.layer = Image.new("RGBA", tuple(side * self.supersampling for side in size))
        self.draw = ImageDraw.Draw(self.layer)
        # Layer pixels per photo pixel, and per unit of line width: one pixel in a picture of 512 pixels.
        self.zoom = np.array(self.layer.size) / np.array(image.size)
        self.unit = max(max(size) / 512, 0.4) * self.supersampling
        self.has_names = max(size) >= _MIN_SIZE_FOR_NAMES

    def at(self, xy):
        """Map a point from photo pixels to layer pixels."""
        return tuple(((np.asarray(xy, dtype=float) + 0.5) * self.zoom - 0.5).tolist())

    def width(self, units):
        return max(round(units * self.unit), 1)

    def box(self, box_xyxy, colour):
        corners = (*self.at(box_xyxy[:2]), *self.at(np.maximum(box_xyxy[:2], box_xyxy[2:])))
        for units, fill in ((3.4, OUTLINE_COLOUR + (170,)), (2.0, colour)):
            inset = (self.width(3.4) - self.width(units)) / 2
            inner = (corners[0] + inset, corners[1] + inset, corners[2] - inset, corners[3] - inset)
            if inner[2] >= inner[0] and inner[3] >= inner[1]:
                self.draw.rectangle(inner, outline=fill, width=self.width(units))

    def line(self, from_xy, to_xy, colour):
        ends = (*self.at(from_xy), *self.at(to_xy))
        self.draw.line(ends, OUTLINE_COLOUR + (150,), self.width(2.6))
        self.draw.line(ends, colour, self.width(1.4))

    def skeleton(self, keypoints_xy, shown):
        for a, b in SKELETON:
            if shown[a] and shown[b]:
                self.line(keypoints_xy[a], keypoints_xy[b], PAIR_COLOURS[b // 2])

    def dot(self, xy, colour, hollow=False, size=1.0):
        self._disc(xy, 5.4 * size, OUTLINE_COLOUR)
        self._disc(xy, 4.4 * size, colour)
        if hollow:
            self._disc(xy, 2.4 * size, OUTLINE_COLOUR)

    def _disc(self, xy, units, colour):
        x, y = self.at(xy)
        radius = units * self.unit
        self.draw.ellipse((x - radius, y - radius, x + radius, y + radius), colour)

    def names(self, keypoints_xy, shown, box_xyxy):
        """Write the keypoints' abbreviations beside their dots, on the outer side of the garment."""
        if not self.has_names:
            return
        font = _font(self.width(12))
        middle = (box_xyxy[0] + box_xyxy[2]) / 2
        for slot in np.flatnonzero(shown):
            x, y = self.at(keypoints_xy[slot])
            text, away = KEYPOINT_ABBREVIATIONS[slot], 8 * self.unit
            length = font.getlength(text)
            on_left = keypoints_xy[slot][0] < middle
            if on_left and x - away - length < 0:
                on_left = False
            elif not on_left and x + away + length > self.layer.width:
                on_left = True
            self.draw.text(
                (x - away if on_left else x + away, y),
                text,
                PAIR_COLOURS[slot // 2],
                font,
                anchor="rm" if on_left else "lm",
                stroke_width=self.width(0.9),
                stroke_fill=OUTLINE_COLOUR,
            )

    def tag(self, box_xyxy, text, colour):
        """Draw a box's tag above its top left corner, or inside the box if there is no room."""
        font = _font(self.width(12))
        padding = 4 * self.unit
        width, height = font.getlength(text) + 2 * padding, font.size + 1.5 * padding
        x, y = self.at(box_xyxy[:2])
        x = min(max(x, 0.0), max(self.layer.width - width, 0.0))
        y = y - height if y >= height else max(y, 0.0)
        self.draw.rounded_rectangle((x, y, x + width, y + height), self.width(2), fill=colour)
        self.draw.text((x + padding, y + height / 2), text, (255, 255, 255), font, anchor="lm")

    def finish(self):
        layer = self.layer
        if self.supersampling > 1:
            layer = layer.resize(self.picture.size, Image.Resampling.BOX)
        return Image.alpha_composite(self.picture.convert("RGBA"), layer).convert("RGB")


def _shown(garments, min_keypoint_score=0.0):
    """Return which keypoints to draw, bool `(N, 8)`."""
    shown = garments.of_type if garments.visibility is None else garments.labelled
    if garments.keypoint_scores is None:
        return shown
    return shown & (garments.keypoint_scores > 0.0) & (garments.keypoint_scores >= min_keypoint_score)


def _is_hollow(garments, row, slot):
    if garments.visibility is not None:
        return garments.visibility[row, slot] == Visibility.OCCLUDED
    return garments.keypoint_scores is not None and garments.keypoint_scores[row, slot] < MIN_VISIBLE


def _boxes(layer, garments, colour=None):
    """Draw the boxes in one colour, or in the colours of their types."""
    for garment_type, box_xyxy in zip(garments.types, garments.boxes_xyxy, strict=True):
        layer.box(box_xyxy, colour or TYPE_COLOURS[GarmentType(garment_type)])


def _tags(layer, garments):
    """Draw the tags with type and score; those of the first garments, with the highest scores, are on top."""
    for row in range(len(garments))[::-1]:
        garment_type = GarmentType(garments.types[row])
        score = "" if garments.scores is None else f" {garments.scores[row]:.2f}"
        layer.tag(garments.boxes_xyxy[row], GARMENT_TYPE_NAMES[garment_type] + score, TYPE_COLOURS[garment_type])


def _cut(text, font, width):
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


@functools.lru_cache(maxsize=32)
def _font(size):
    return ImageFont.load_default(size=size)
