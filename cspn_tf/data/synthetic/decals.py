"""Decals, the textures of surfaces: faces, buttons, seams, pockets, prints and text.

A decal is an image in cloth coordinates (u to the viewer's right, v down), so it follows every fold and limb.
"""

import string

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .fabric import Decal, any_colour, colour_distance
from .shapes import blob

_DENSITY = 5.0


class _Sheet:
    """A transparent image to draw on in centimetres."""

    def __init__(self, u_min, v_min, u_max, v_max, density=_DENSITY):
        self.origin = np.array([u_min, v_min], float)
        self.density = density
        size = (max(int((u_max - u_min) * density), 1), max(int((v_max - v_min) * density), 1))
        self.image = Image.new("RGBA", size)
        self.draw = ImageDraw.Draw(self.image)

    def at(self, points):
        return ((np.asarray(points, float) - self.origin) * self.density).ravel().tolist()

    def line(self, points, colour, width, opacity=1.0):
        self.draw.line(self.at(points), _rgba(colour, opacity), max(2, round(width * self.density)), joint="curve")

    def polygon(self, points, colour, opacity=1.0):
        self.draw.polygon(self.at(points), _rgba(colour, opacity))

    def ellipse(self, u, v, radius_u, radius_v, colour, opacity=1.0):
        self.draw.ellipse(self.at([(u - radius_u, v - radius_v), (u + radius_u, v + radius_v)]), _rgba(colour, opacity))

    def box(self, u_min, v_min, u_max, v_max, colour, opacity=1.0):
        self.draw.rectangle(self.at([(u_min, v_min), (u_max, v_max)]), _rgba(colour, opacity))

    def finish(self) -> Decal:
        rgba = np.asarray(self.image, np.float32).copy()
        rgba[..., 3] /= 255.0
        return Decal(rgba, tuple(self.origin), self.density)


def _rgba(colour, opacity):
    return (*(int(np.clip(c, 0, 255)) for c in colour), int(255 * opacity))


def draw_face(rng, skin, hair) -> Decal:
    """Draw eyes, brows, nostrils and mouth, in the coordinates of the head's ellipsoid."""
    sheet = _Sheet(-9.0, 9.0, 9.0, 32.0, density=9.0)
    skin, hair = np.array(skin), np.array(hair)
    lips = np.clip(skin * (0.86, 0.58, 0.58) + (rng.uniform(0, 40), 0, 0), 0, 255)
    for side in (-1, 1):
        sheet.ellipse(side * 3.5, 18.0, 1.6, 1.0, skin * 0.72, 0.6)
        sheet.ellipse(side * 3.5, 18.0, 1.25, 0.6, (236, 232, 228))
        sheet.ellipse(side * 3.5, 18.0, 0.62, 0.6, (52, 38, 30))
        sheet.line([(side * 2.1, 17.3), (side * 3.5, 17.1), (side * 4.9, 17.5)], (30, 24, 22), 0.3)
        sheet.line([(side * 1.7, 15.7), (side * 3.4, 15.1), (side * 5.3, 15.9)], hair * 0.8, 0.6, 0.85)
        sheet.ellipse(side * 0.9, 23.6, 0.45, 0.25, skin * 0.55, 0.8)
        sheet.ellipse(side * 4.6, 22.6, 2.0, 1.8, lips, 0.12)
    sheet.line([(0.9, 18.5), (1.1, 22.6)], skin * 0.82, 0.35, 0.7)
    smile = rng.uniform(0.0, 0.6)
    mouth = [(-2.5, 26.3 - smile), (-0.8, 26.0), (0.8, 26.0), (2.5, 26.3 - smile), (1.2, 27.5), (-1.2, 27.5)]
    sheet.polygon(mouth, lips)
    sheet.line([mouth[0], (0.0, 26.8), mouth[3]], lips * 0.6, 0.22)
    if rng.random() < 0.12:
        for side in (-1, 1):
            sheet.ellipse(side * 3.5, 18.1, 2.7, 2.0, (18, 18, 22), rng.choice((0.35, 0.95)))
        sheet.line([(-1.0, 17.8), (1.0, 17.8)], (18, 18, 22), 0.4)
    return sheet.finish()


def draw_top(rng, fabric, *, kind, neck_drop, waist, length, reach):
    """Draw details on the front of a top or dress: button placket, pockets, print, seams.

    Args:
        rng: generator.
        fabric: `Fabric` of the cloth.
        kind: "tee", "tank", "shirt", "blouse", "sweater", "coat" or "dress".
        neck_drop, waist, length: v of the neckline's lowest point, the waist and the hem.
        reach: u at the sides.

    Returns:
        `Decal`, or None if nothing was drawn.
    """
    colour = np.array(fabric.colour)
    seam = colour * 0.62 if colour.mean() > 60 else colour + 38
    sheet = _Sheet(-reach - 1.0, -8.0, reach + 1.0, length + 1.0)
    drawn = False
    if kind in ("shirt", "coat"):
        sheet.line([(1.6, neck_drop - 1.0), (1.6, length)], seam, 0.3, 0.8)
        sheet.line([(-1.6, neck_drop - 1.0), (-1.6, length)], seam, 0.2, 0.35)
        button = colour * 0.45 if rng.random() < 0.6 else np.array((228.0, 222.0, 210.0))
        for v in np.arange(neck_drop + 1.5, length - 4.0, rng.uniform(6.5, 11.0)):
            sheet.ellipse(0.0, v, 0.75, 0.75, button)
        drawn = True
    if kind in ("shirt", "coat", "tee", "sweater") and rng.random() < 0.35:
        v = 18.0 if kind != "coat" else min(waist + 8.0, length - 20.0)
        for side in (-1, 1) if kind == "coat" else (1,):
            wide, tall = (5.5, 8.0) if kind != "coat" else (7.5, 4.5)
            u = side * 9.0
            outline = [(u - wide, v), (u + wide, v), (u + wide, v + tall), (u, v + tall + 1.6), (u - wide, v + tall)]
            sheet.line([*outline, outline[0]], seam, 0.35, 0.8)
        drawn = True
    if kind in ("tee", "sweater", "tank", "dress") and rng.random() < (0.45 if kind != "dress" else 0.12):
        _print(rng, sheet, fabric, max(neck_drop + 3.0, 12.0), waist)
        drawn = True
    if kind == "dress" and rng.random() < 0.5:
        for side in (-1, 1):
            sheet.line([(side * 6.0, 20.0), (side * 4.5, waist), (side * 5.5, waist + 14.0)], seam, 0.25, 0.6)
        drawn = True
    return sheet.finish() if drawn else None


def _print(rng, sheet, fabric, top, waist):
    """Draw a print on the chest: a disc, text, bars, splashes or a small logo."""
    ink = np.array(contrasting(rng, fabric.colour))
    size = rng.uniform(3.0, 8.0)
    centre = (0.0, min(top + size + rng.uniform(0.0, 6.0), waist - 4.0))
    kind = rng.integers(6)
    if kind == 0:
        sheet.ellipse(*centre, size, size, ink)
        sheet.ellipse(*centre, size * 0.6, size * 0.6, any_colour(rng), rng.choice((0.0, 1.0)))
    elif kind in (1, 2):
        font = ImageFont.load_default(size=size * rng.uniform(0.6, 1.1) * sheet.density)
        for row in range(int(rng.integers(1, 4))):
            word = "".join(rng.choice(list(string.ascii_uppercase), int(rng.integers(3, 9))))
            spot = sheet.at([(0.0, centre[1] + (row - 1) * size * 0.9)])
            sheet.draw.text(spot, word, _rgba(ink, 0.95), font, anchor="mm")
    elif kind == 3:
        for row in range(int(rng.integers(2, 5))):
            v = centre[1] + row * 2.6 - 4.0
            sheet.box(-size * rng.uniform(0.5, 1.3), v, size * rng.uniform(0.5, 1.3), v + 1.6, ink)
    elif kind == 4:
        for _ in range(int(rng.integers(2, 6))):
            spot = np.array(centre) + rng.normal(0.0, size * 0.5, 2)
            colour = ink if rng.random() < 0.6 else any_colour(rng)
            sheet.polygon(blob(rng, spot, size * 0.7, size * rng.uniform(0.4, 0.9), 0.45), colour)
    else:
        side = rng.choice((-1, 1))
        sheet.ellipse(side * 7.5, top + 4.0, 1.7, 1.3, ink)


def draw_bottom(rng, fabric, *, kind, crotch, length, reach):
    """Draw details on trousers, shorts or a skirt: waistband, fly, pockets, pleats; return the `Decal`."""
    colour = np.array(fabric.colour)
    seam = colour * 0.6 if colour.mean() > 60 else colour + 38
    whole_turn = np.pi * reach / (np.pi / 2)
    sheet = _Sheet(-whole_turn, -1.0, whole_turn, length)
    band = rng.uniform(2.5, 4.5)
    sheet.line([(-whole_turn, band), (whole_turn, band)], seam, 0.35, 0.85)
    if kind != "skirt" or rng.random() < 0.25:
        sheet.line([(0.0, band), (0.0, crotch)], seam, 0.3, 0.8)
        sheet.line([(2.4, band), (2.4, crotch - 8.0), (0.3, crotch - 4.0)], seam, 0.22, 0.6)
        sheet.ellipse(0.4, band / 2, 0.8, 0.8, (150, 140, 120) if rng.random() < 0.5 else seam)
        for side in (-1, 1):
            sheet.line([(side * 8.5, band), (side * reach * 0.93, 14.0)], seam, 0.4, 0.8)
            if kind != "skirt":
                u, v = side * reach * 1.55, band + 6.0
                pocket = [(u - 5.5, v), (u + 5.5, v), (u + 5.0, v + 10.0), (u, v + 12.0), (u - 5.0, v + 10.0)]
                sheet.line([*pocket, pocket[0]], seam, 0.35, 0.85)
        for u in (-12.0, -5.5, 5.5, 12.0):
            sheet.box(u - 0.5, 0.0, u + 0.5, band + 0.4, seam, 0.6)
    if kind == "skirt" and rng.random() < 0.35:
        for u in np.linspace(-whole_turn, whole_turn, int(rng.integers(14, 26))):
            sheet.line([(u, band), (u, length)], seam, 0.3, 0.5)
    return sheet.finish()


def contrasting(rng, colour):
    """Sample an RGB colour that contrasts with another."""
    for _ in range(8):
        other = any_colour(rng, (colour,), 90.0)
        if colour_distance(other, colour) > 70.0:
            return other
    bright = float(np.mean(colour))
    return (245.0,) * 3 if bright < 128 else (20.0,) * 3
