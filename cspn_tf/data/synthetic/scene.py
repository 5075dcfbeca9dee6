"""Backgrounds of the photos: studio, room, street, clutter and table-top.

Backgrounds are drawn at half the photo's resolution and enlarged, which is cheap and looks like shallow focus.
"""

import colorsys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .shapes import blob

PLACES = ("studio", "room", "street", "clutter")
_PLACE_SHARES = (0.32, 0.28, 0.28, 0.12)


def draw_place(rng) -> str:
    """Sample the background of a photo of a person, one of `PLACES`."""
    return str(rng.choice(PLACES, p=_PLACE_SHARES))


def paint_background(rng, width, height, place):
    """Paint a background.

    Args:
        rng: generator.
        width, height: pixels of the photo.
        place: one of `PLACES`, or "table" for the surface behind a garment that is laid flat or hung up.

    Returns:
        PIL RGB image, and its mean RGB colour near the centre, with which clothes should contrast.
    """
    half_width, half_height = (width + 1) // 2, (height + 1) // 2
    paint = {"studio": _studio, "room": _room, "street": _street, "clutter": _clutter, "table": _table}[place]
    image = paint(rng, half_width, half_height)
    if place != "studio":
        defocus = rng.uniform(0.8, 0.8 + 0.012 * half_height) if rng.random() < 0.5 else 0.7
        image = image.filter(ImageFilter.BoxBlur(defocus))
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    middle = image.resize((8, 8), Image.Resampling.BOX).crop((1, 1, 7, 7))
    return image, tuple(np.asarray(middle, float).reshape(-1, 3).mean(axis=0))


def cast_shadows(image, feet_xy, scale):
    """Draw shadows on the floor below feet.

    Args:
        image: PIL RGB image.
        feet_xy: `(F, 2)` pixels.
        scale: pixels a centimetre.
    """
    reach = 15.0 * scale
    feet_xy = [(x, y) for x, y in feet_xy if -reach < x < image.width + reach and -reach < y < image.height + reach]
    if not feet_xy:
        return image
    small = Image.new("L", (max(image.width // 4, 1), max(image.height // 4, 1)))
    draw = ImageDraw.Draw(small)
    for x, y in feet_xy:
        draw.ellipse(((x - reach) / 4, (y - 0.2 * reach) / 4, (x + reach) / 4, (y + 0.35 * reach) / 4), fill=110)
    mask = small.filter(ImageFilter.BoxBlur(reach / 16.0)).resize(image.size, Image.Resampling.BILINEAR)
    image.paste((18, 16, 18), (0, 0), mask)
    return image


def _colour(rng, saturation=(0.02, 0.3), value=(0.45, 0.95)):
    rgb = colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value))
    return tuple(int(255 * c) for c in rgb)


def _scaled(colour, factor):
    return tuple(int(np.clip(c * factor, 0, 255)) for c in colour)


def _gradient(colours, width, height, axis=0):
    """Return an image with a linear gradient between two colours along an axis."""
    ramp = np.linspace(0.0, 1.0, height if axis == 0 else width, dtype=np.float32)[:, None]
    line = (np.array(colours[0]) + ramp * (np.array(colours[1], float) - colours[0])).astype(np.uint8)
    pixels = np.broadcast_to(line[:, None] if axis == 0 else line[None], (height, width, 3))
    return Image.fromarray(np.ascontiguousarray(pixels))


def _mottle(rng, image, strength, cells):
    """Add low-frequency noise to an image: plaster, concrete, grass."""
    grid = rng.normal(0.0, strength, (cells, cells)).astype(np.float32)
    noise = np.asarray(Image.fromarray(grid).resize(image.size, Image.Resampling.BICUBIC))
    return Image.fromarray(np.clip(np.asarray(image, np.float32) + noise[..., None], 0, 255).astype(np.uint8))


def _studio(rng, width, height):
    wall = _colour(rng, (0.0, 0.22), (0.5, 0.97)) if rng.random() < 0.75 else _colour(rng, (0.2, 0.6), (0.3, 0.8))
    image = _gradient((_scaled(wall, rng.uniform(0.85, 1.1)), _scaled(wall, rng.uniform(0.7, 1.1))), width, height)
    if rng.random() < 0.5:
        floor = int(height * rng.uniform(0.75, 0.95))
        sweep = _gradient((_scaled(wall, rng.uniform(0.75, 1.0)), _scaled(wall, rng.uniform(0.9, 1.1))), width, height)
        mask = Image.new("L", (width, height))
        ImageDraw.Draw(mask).rectangle((0, floor, width, height), fill=255)
        image.paste(sweep, (0, 0), mask.filter(ImageFilter.BoxBlur(height * rng.uniform(0.002, 0.04))))
    return _mottle(rng, image, rng.uniform(0, 5), int(rng.integers(3, 9)))


def _room(rng, width, height):
    wall = _colour(rng, (0.03, 0.3), (0.5, 0.95))
    image = _mottle(rng, _gradient((wall, _scaled(wall, 0.88)), width, height), 4, 14)
    draw = ImageDraw.Draw(image)
    floor_y = int(height * rng.uniform(0.68, 0.9))
    wood = _colour(rng, (0.2, 0.5), (0.3, 0.7)) if rng.random() < 0.5 else _colour(rng)
    draw.rectangle((0, floor_y, width, height), fill=wood)
    for k in range(int(rng.integers(3, 8))):
        x = width * (k - 1) / 5.0
        draw.line((x + 0.2 * width, floor_y, x * 1.6 - 0.3 * width, height), fill=_scaled(wood, 0.82), width=1)
    draw.rectangle((0, floor_y - height * 0.025, width, floor_y), fill=_scaled(wall, rng.choice((0.7, 1.15))))
    if rng.random() < 0.35:
        _window(rng, draw, width, floor_y)
    for _ in range(int(rng.integers(1, 4))):
        _picture_frame(rng, draw, width, floor_y)
    for _ in range(int(rng.integers(1, 4))):
        _furniture(rng, draw, width, height, floor_y)
    if rng.random() < 0.4:
        _plant(rng, draw, width * rng.choice((0.1, 0.9)), floor_y + 0.06 * height, 0.3 * height)
    return image


def _window(rng, draw, width, floor_y):
    x, w = width * rng.uniform(-0.1, 0.7), width * rng.uniform(0.25, 0.5)
    y, h = floor_y * rng.uniform(0.0, 0.2), floor_y * rng.uniform(0.4, 0.7)
    draw.rectangle((x, y, x + w, y + h), fill=_colour(rng, (0.02, 0.2), (0.85, 1.0)), outline=(225, 222, 215), width=4)
    draw.line((x + w / 2, y, x + w / 2, y + h), fill=(225, 222, 215), width=3)
    draw.line((x, y + h / 2, x + w, y + h / 2), fill=(225, 222, 215), width=3)


def _picture_frame(rng, draw, width, floor_y):
    x, y = width * rng.uniform(0.0, 0.85), floor_y * rng.uniform(0.02, 0.5)
    w, h = width * rng.uniform(0.08, 0.25), floor_y * rng.uniform(0.08, 0.25)
    draw.rectangle(
        (x, y, x + w, y + h), fill=_colour(rng, (0.1, 0.5)), outline=_colour(rng, (0.1, 0.4), (0.1, 0.5)), width=3
    )
    draw.rectangle((x + w * 0.25, y + h * 0.3, x + w * 0.7, y + h * 0.75), fill=_colour(rng, (0.2, 0.6)))


def _furniture(rng, draw, width, height, floor_y):
    """A shelf with books, a cupboard or a sofa."""
    kind = rng.integers(3)
    x, w = width * rng.uniform(-0.15, 0.85), width * rng.uniform(0.2, 0.45)
    wood = _colour(rng, (0.15, 0.55), (0.25, 0.75))
    bottom = floor_y + height * rng.uniform(0.0, 0.08)
    if kind == 0:
        top = floor_y * rng.uniform(0.15, 0.5)
        draw.rectangle((x, top, x + w, bottom), fill=_scaled(wood, 0.7), outline=wood, width=3)
        for y in np.arange(top, bottom - 8, 0.14 * height):
            left = x + 4
            while left < x + w - 8:
                thick = rng.uniform(3, 9)
                tall = 0.12 * height * rng.uniform(0.5, 0.85)
                base = y + 0.14 * height - 3
                draw.rectangle((left, base - tall, left + thick, base), fill=_colour(rng, (0.2, 0.6), (0.3, 0.9)))
                left += thick + rng.uniform(0.5, 6)
            draw.line((x, y + 0.14 * height, x + w, y + 0.14 * height), fill=wood, width=3)
    elif kind == 1:
        top = floor_y - height * rng.uniform(0.15, 0.4)
        draw.rectangle((x, top, x + w, bottom), fill=wood, outline=_scaled(wood, 0.75), width=2)
        draw.line((x + w / 2, top, x + w / 2, bottom), fill=_scaled(wood, 0.7), width=2)
    else:
        top = floor_y - height * rng.uniform(0.12, 0.22)
        sofa = _colour(rng, (0.1, 0.5), (0.3, 0.8))
        draw.rounded_rectangle((x, top, x + 1.5 * w, bottom), radius=8, fill=sofa)
        draw.rounded_rectangle((x - 6, (top + bottom) / 2, x + 1.5 * w + 6, bottom), radius=6, fill=_scaled(sofa, 0.85))


def _plant(rng, draw, x, base, tall):
    draw.polygon([(x - 8, base - 16), (x + 8, base - 16), (x + 6, base), (x - 6, base)], fill=_colour(rng, (0.2, 0.5)))
    for _ in range(9):
        tip = (x + rng.normal(0, 0.3) * tall, base - tall * rng.uniform(0.4, 1.0))
        green = (int(rng.uniform(30, 90)), int(rng.uniform(80, 150)), int(rng.uniform(30, 80)))
        draw.polygon([(x - 2, base - 14), (tip[0] - 4, tip[1] + 8), tip, (tip[0] + 5, tip[1] + 10)], fill=green)


def _street(rng, width, height):
    sky = tuple(int(255 * c) for c in colorsys.hsv_to_rgb(rng.uniform(0.52, 0.64), rng.uniform(0.02, 0.4), 0.92))
    image = _gradient((sky, _scaled(sky, 1.1)), width, height)
    draw = ImageDraw.Draw(image)
    ground = int(height * rng.uniform(0.6, 0.88))
    x = -width * rng.uniform(0.0, 0.2)
    while x < width:
        w = width * rng.uniform(0.2, 0.5)
        top = ground * rng.uniform(-0.2, 0.6)
        _building(rng, draw, x, top, x + w, ground)
        x += w + width * rng.choice((0.0, 0.0, 0.08))
    road = _colour(rng, (0.0, 0.12), (0.35, 0.7))
    draw.rectangle((0, ground, width, height), fill=road)
    draw.polygon([(0, ground), (width, ground), (width, ground + 0.03 * height)], fill=_scaled(road, 1.15))
    draw.line((0, ground + 0.05 * height, width, ground + 0.08 * height), fill=_scaled(road, 0.75), width=2)
    for _ in range(int(rng.integers(0, 3))):
        _tree(rng, draw, width * rng.uniform(-0.05, 1.05), ground, height * rng.uniform(0.35, 0.7))
    if rng.random() < 0.5:
        _car(rng, draw, width * rng.uniform(-0.2, 0.8), ground, width * rng.uniform(0.3, 0.5))
    if rng.random() < 0.5:
        post = width * rng.uniform(0.03, 0.97)
        draw.line((post, ground + 0.05 * height, post, 0.06 * height), fill=(48, 50, 52), width=max(2, width // 60))
        draw.ellipse((post - 7, 0.03 * height, post + 7, 0.03 * height + 14), fill=(240, 232, 200))
    return _mottle(rng, image, 5, 24)


def _building(rng, draw, x0, y0, x1, y1):
    wall = _colour(rng, (0.03, 0.3), (0.35, 0.9))
    draw.rectangle((x0, y0, x1, y1), fill=wall)
    glass = _colour(rng, (0.05, 0.3), (0.2, 0.8))
    columns, rows = int(rng.integers(2, 5)), int(rng.integers(3, 7))
    step_x, step_y = (x1 - x0) / columns, (y1 - y0) / rows
    for column in range(columns):
        for row in range(rows):
            left, top = x0 + (column + 0.25) * step_x, y0 + (row + 0.2) * step_y
            pane = (left, top, left + 0.5 * step_x, top + 0.6 * step_y)
            draw.rectangle(pane, fill=_scaled(glass, rng.uniform(0.7, 1.2)), outline=_scaled(wall, 0.75))


def _tree(rng, draw, x, ground, tall):
    trunk = max(3, int(0.05 * tall))
    draw.rectangle((x - trunk / 2, ground - 0.5 * tall, x + trunk / 2, ground + 4), fill=(84, 62, 46))
    for _ in range(5):
        centre = (x + rng.normal(0, 0.14) * tall, ground - tall * rng.uniform(0.55, 0.95))
        green = (int(rng.uniform(40, 110)), int(rng.uniform(85, 150)), int(rng.uniform(35, 80)))
        crown = blob(rng, centre, 0.22 * tall, 0.2 * tall, 0.3)
        draw.polygon(crown.ravel().tolist(), fill=green)


def _car(rng, draw, x, ground, long):
    paint = _colour(rng, (0.1, 0.8), (0.3, 0.95))
    base = ground + 0.06 * long
    draw.rounded_rectangle((x, base - 0.26 * long, x + long, base - 0.05 * long), radius=5, fill=paint)
    roof = [(x + 0.2 * long, base - 0.25 * long), (x + 0.32 * long, base - 0.42 * long)]
    roof += [(x + 0.7 * long, base - 0.42 * long), (x + 0.85 * long, base - 0.25 * long)]
    draw.polygon(roof, fill=_scaled(paint, 0.5))
    for wheel in (0.2, 0.8):
        centre = x + wheel * long
        draw.ellipse(
            (centre - 0.08 * long, base - 0.14 * long, centre + 0.08 * long, base + 0.02 * long), fill=(28, 28, 30)
        )


def _clutter(rng, width, height):
    base = _colour(rng, (0.05, 0.4), (0.4, 0.9))
    image = _mottle(
        rng, _gradient((base, _colour(rng, (0.05, 0.4), (0.4, 0.9))), width, height, int(rng.integers(2))), 12, 20
    )
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(6, 15))):
        centre = (width * rng.random(), height * rng.random())
        reach = width * rng.uniform(0.05, 0.22)
        colour = _scaled(base, rng.uniform(0.6, 1.3)) if rng.random() < 0.6 else _colour(rng, (0.1, 0.6), (0.25, 0.95))
        kind = rng.integers(3)
        if kind == 0:
            draw.rectangle((centre[0], centre[1], centre[0] + reach * 1.3, centre[1] + reach), fill=colour)
        elif kind == 1:
            draw.polygon(blob(rng, centre, reach, reach * rng.uniform(0.4, 1.2), 0.35).ravel().tolist(), fill=colour)
        else:
            end = (centre[0] + rng.normal(0, 0.5) * width, centre[1] + rng.normal(0, 0.5) * height)
            draw.line((*centre, *end), fill=colour, width=int(rng.integers(1, 8)))
    return image


def _table(rng, width, height):
    kind = rng.integers(4)
    base = _colour(rng, (0.0, 0.3), (0.45, 0.95))
    image = _gradient(
        (_scaled(base, rng.uniform(0.9, 1.1)), _scaled(base, rng.uniform(0.8, 1.0))),
        width,
        height,
        int(rng.integers(2)),
    )
    draw = ImageDraw.Draw(image)
    if kind == 0:
        step = width * rng.uniform(0.12, 0.3)
        for x in np.arange(rng.uniform(0, step), width + step, step):
            draw.rectangle((x - step, 0, x, height), fill=_scaled(base, rng.uniform(0.86, 1.08)))
            draw.line((x, 0, x, height), fill=_scaled(base, 0.7), width=1)
    elif kind == 1:
        step = width * rng.uniform(0.15, 0.4)
        for x in np.arange(rng.uniform(0, step), width + step, step):
            draw.line((x, 0, x, height), fill=_scaled(base, 0.85), width=2)
        for y in np.arange(rng.uniform(0, step), height + step, step):
            draw.line((0, y, width, y), fill=_scaled(base, 0.85), width=2)
    elif kind == 2:
        edge = height * rng.uniform(0.8, 0.95)
        draw.rectangle((0, edge, width, height), fill=_colour(rng, (0.05, 0.4), (0.3, 0.8)))
    return _mottle(rng, image, rng.uniform(1, 9), int(rng.integers(4, 40)))
