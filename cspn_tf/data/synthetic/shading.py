"""Render meshes to an image: lighting, cloth patterns and decals, contact shadows and anti-aliased edges.

Letters in shapes: N points, T triangles, P pixels that show a surface, K meshes.
"""

import dataclasses

import numpy as np
from PIL import Image, ImageFilter

from .fabric import pattern_amount
from .mesh import normals, quads
from .raster import ZBuffer, gradients, rasterise

_CREASE_SIZE = 128
# Approximate fraction of the light that reaches the inside of a garment.
_INSIDE = 0.5


@dataclasses.dataclass(frozen=True)
class Light:
    """The lighting of a photo.

    Attributes:
        direction: unit `(3,)` in camera axes, towards the light.
        ambient: fraction of ambient light, 0..1.
        contact: strength of contact shadows, 0..1.
    """

    direction: np.ndarray
    ambient: float
    contact: float


def draw_light(rng) -> Light:
    """Sample soft or hard light from the camera's side."""
    direction = np.array([rng.normal(0.0, 0.7), rng.uniform(0.0, 1.0), rng.uniform(0.5, 1.2)])
    return Light(direction / np.linalg.norm(direction), float(rng.uniform(0.42, 0.75)), float(rng.uniform(0.25, 0.7)))


@dataclasses.dataclass(frozen=True)
class Soup:
    """The triangles of all meshes, projected by a camera.

    Attributes:
        xy: `(N, 2)` pixels; nearness: `(N,)`, 1 / depth in centimetres, after `Mesh.bias`.
        triangles: int `(T, 3)`, point indices.
        mesh: int `(T,)`, index in `meshes`; owner: int `(T,)`, see `Mesh.owner`.
        inside: bool `(T,)`, whether the camera sees the inside.
        face_tone: `(T,)`.
        attributes: float32 `(N, 4)`: tone, highlight, u, v.
        meshes: list of K `Mesh`; first_points: `(K,)`, index of each mesh's first point.
    """

    xy: np.ndarray
    nearness: np.ndarray
    triangles: np.ndarray
    mesh: np.ndarray
    owner: np.ndarray
    inside: np.ndarray
    face_tone: np.ndarray
    attributes: np.ndarray
    meshes: list
    first_points: np.ndarray

    def opaque(self):
        """Return which triangles are opaque, bool `(T,)`."""
        return np.array([mesh.fabric.opacity >= 1.0 for mesh in self.meshes])[self.mesh]


def assemble(meshes, camera, light) -> Soup:
    """Project meshes, cull the back faces of solid ones, and light their points."""
    sizes = np.array([mesh.points.shape[0] * mesh.points.shape[1] for mesh in meshes])
    first_points = np.cumsum(sizes) - sizes
    xy, depth = camera.project(np.concatenate([mesh.points.reshape(-1, 3) for mesh in meshes]))
    nearness = 1.0 / np.maximum(depth - np.repeat([mesh.bias for mesh in meshes], sizes), 1.0)
    faces, mesh_of, tones = [], [], []
    for number, mesh in enumerate(meshes):
        corners, row, column = quads(mesh)
        faces.append(corners + first_points[number])
        mesh_of.append(np.full(len(corners), number))
        tones.append(np.ones(len(corners)) if mesh.face_tone is None else mesh.face_tone[row, column])
    faces, mesh_of, tones = np.concatenate(faces), np.concatenate(mesh_of), np.concatenate(tones)
    triangles = np.concatenate([faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]])
    mesh_of, tones = np.tile(mesh_of, 2), np.tile(tones, 2)
    (ax, ay), (bx, by) = (xy[triangles[:, 1]] - xy[triangles[:, 0]]).T, (xy[triangles[:, 2]] - xy[triangles[:, 0]]).T
    area = ax * by - bx * ay
    two_sided = np.array([mesh.two_sided for mesh in meshes])
    kept = np.flatnonzero((np.abs(area) > 1e-6) & ((area > 0) | two_sided[mesh_of]))
    owners = np.array([mesh.owner for mesh in meshes])
    return Soup(
        xy,
        nearness,
        triangles[kept],
        mesh_of[kept],
        owners[mesh_of[kept]],
        area[kept] < 0,
        tones[kept],
        _attributes(meshes, camera, light, sizes),
        meshes,
        first_points,
    )


def _attributes(meshes, camera, light, sizes):
    normal = np.concatenate([normals(mesh).reshape(-1, 3) for mesh in meshes]) @ camera.rotation.T
    facing = normal @ light.direction
    # Wrap lighting: the light reaches past the terminator, as under a sky or a soft box.
    diffuse = np.clip(0.75 * facing + 0.25, 0.0, 1.0)
    sky = 0.9 + 0.1 * normal[:, 1]
    tone = light.ambient * sky + (1.22 - light.ambient) * diffuse
    own = [np.ones(size) if mesh.tone is None else mesh.tone.ravel() for mesh, size in zip(meshes, sizes, strict=True)]
    half_way = light.direction + (0.0, 0.0, 1.0)
    half_way = half_way / np.linalg.norm(half_way)
    gloss = np.repeat([mesh.fabric.gloss for mesh in meshes], sizes)
    shine = gloss * 110.0 * np.clip(normal @ half_way, 0.0, 1.0) ** 14
    uv = np.concatenate([mesh.uv.reshape(-1, 2) for mesh in meshes])
    return np.column_stack([tone * np.concatenate(own), shine, uv]).astype(np.float32)


def crease_texture(rng):
    """Sample a tileable texture of small creases: tones around 0, float32 `(128, 128)`."""
    total = np.zeros((_CREASE_SIZE, _CREASE_SIZE), np.float32)
    for cells, strength in ((8, 0.11), (16, 0.07), (32, 0.03)):
        grid = rng.standard_normal((cells, cells), dtype=np.float32) * np.float32(strength)
        wrapped = Image.fromarray(np.pad(grid, 2, mode="wrap"))
        edge = 2 * _CREASE_SIZE // cells
        size = _CREASE_SIZE + 2 * edge
        smooth = np.asarray(wrapped.resize((size, size), Image.Resampling.BICUBIC))
        total += smooth[edge:-edge, edge:-edge]
    # Sharp ridges lit from above, on top of soft unevenness.
    ridge = np.abs(total)
    lit = sum(np.roll(ridge, 1, axis=axis) - np.roll(ridge, -1, axis=axis) for axis in (0, 1))
    return 0.55 * total + 1.6 * lit


def render_surfaces(soup, buffer, background, light, creases, foreground=0.0, floor_depth=None):
    """Render the surfaces over a background.

    Args:
        soup: `Soup`.
        buffer: its `opaque_buffer`.
        background: PIL RGB image.
        light: `Light`.
        creases: from `crease_texture`.
        foreground: surfaces at less than this depth, centimetres, cast no contact shadow.
        floor_depth: depth of a table or wall right behind, which receives contact shadows, centimetres; None for none.

    Returns:
        PIL RGB image.
    """
    pixels = np.asarray(background, np.float32).copy()
    shadow = _contact_shadow(buffer, light, foreground, floor_depth)
    shown = np.flatnonzero(buffer.triangle.ravel() >= 0)
    flat = pixels.reshape(-1, 3)
    flat[shown] = _colours(soup, buffer.triangle.ravel()[shown], shown, background.width, creases)
    pixels *= shadow[..., None]
    surface = np.full(buffer.triangle.shape, -1, np.int16)
    surface.ravel()[shown] = soup.mesh[buffer.triangle.ravel()[shown]]
    if not soup.opaque().all():
        _lay_sheer(soup, buffer, flat, surface, creases, background.width, background.height)
    return _soften_edges(np.clip(pixels, 0, 255, out=pixels), surface)


def opaque_buffer(soup, width, height) -> ZBuffer:
    """Return the z-buffer of the opaque triangles, with triangle indices of the soup."""
    chosen = np.flatnonzero(soup.opaque())
    buffer = rasterise(soup.xy, soup.nearness, soup.triangles[chosen], width, height)
    if len(chosen) == len(soup.triangles):
        return buffer
    triangle, shown = buffer.triangle, buffer.triangle >= 0
    triangle[shown] = chosen[triangle[shown]]
    return ZBuffer(triangle, buffer.nearness)


def _lay_sheer(soup, buffer, flat, surface, creases, width, height):
    """Blend the front-most layer of sheer cloth over the image, in place."""
    chosen = np.flatnonzero(~soup.opaque())
    sheer = rasterise(soup.xy, soup.nearness, soup.triangles[chosen], width, height)
    shown = np.flatnonzero((sheer.triangle.ravel() >= 0) & (sheer.nearness.ravel() > buffer.nearness.ravel()))
    if not len(shown):
        return
    triangle = chosen[sheer.triangle.ravel()[shown]]
    opacity = np.array([mesh.fabric.opacity for mesh in soup.meshes], np.float32)[soup.mesh[triangle]][:, None]
    flat[shown] += opacity * (_colours(soup, triangle, shown, width, creases) - flat[shown])
    surface.ravel()[shown] = soup.mesh[triangle] + len(soup.meshes)


def _colours(soup, triangle, pixel, width, creases):
    """Return the RGB colours of pixels that show triangles, float32 `(P, 3)`."""
    is_used = np.zeros(len(soup.triangles), bool)
    is_used[triangle] = True
    used = np.flatnonzero(is_used)
    place = (np.cumsum(is_used) - 1)[triangle]
    corners = soup.triangles[used]
    values = soup.attributes[corners].astype(np.float64)
    inside = soup.inside[used]
    values[inside, :, 0] = _INSIDE * values[inside, :, 0] + 0.08
    values[inside, :, 1] = 0.0
    values[:, :, 0] *= soup.face_tone[used][:, None]
    planes = gradients(soup.xy[corners], values).astype(np.float32).reshape(len(used), 12)
    planes = planes[place]
    row, column = np.divmod(pixel, width)
    attributes = planes[:, 0:4] * column[:, None].astype(np.float32)
    attributes += planes[:, 4:8] * row[:, None].astype(np.float32)
    attributes += planes[:, 8:12]
    tone, shine, u, v = attributes.T
    mesh = soup.mesh[triangle]
    colour = np.array([m.fabric.colour for m in soup.meshes], np.float32)[mesh]
    tone = np.clip(tone, 0.05, 1.5) + _creases(soup.meshes, mesh, u, v, creases)
    for number, m in enumerate(soup.meshes):
        if m.fabric.pattern == "plain" and m.fabric.decal is None:
            continue
        here = np.flatnonzero(mesh == number)
        if len(here):
            colour[here] = _dyed(m.fabric, colour[here], u[here], v[here], inside[place[here]])
    colour *= tone[:, None]
    colour += np.maximum(shine, 0.0)[:, None]
    return colour


def _creases(meshes, mesh, u, v, creases):
    size = np.array([m.fabric.crease_size for m in meshes], np.float32)
    strength = np.array([m.fabric.crease for m in meshes], np.float32)[mesh]
    # `crease_size` is the size of one of the eight cells of the texture's coarsest octave.
    scale = (_CREASE_SIZE / 8.0 / size).astype(np.float32)
    column = (u * scale[mesh, 0]).astype(np.int32) & (_CREASE_SIZE - 1)
    row = (v * scale[mesh, 1]).astype(np.int32) & (_CREASE_SIZE - 1)
    return strength * creases[row, column]


def _dyed(fabric, colour, u, v, inside):
    if fabric.pattern != "plain":
        amount = pattern_amount(fabric, u, v)[:, None]
        colour = colour + amount * (np.array(fabric.second, np.float32) - colour)
    if fabric.decal is not None:
        found = fabric.decal.at(u, v)
        opacity = found[:, 3:] * ~inside[:, None]
        colour = colour + opacity * (found[:, :3] - colour)
    return colour


def _contact_shadow(buffer, light, foreground, floor_depth):
    """Return a factor on the colours that darkens pixels next to nearer surfaces, float32 `(H, W)`."""
    height, width = buffer.nearness.shape
    near = buffer.nearness
    shown = near > 0
    if not shown.any():
        return np.ones((height, width), np.float32)
    depth = np.zeros_like(near)
    np.divide(1.0, near, out=depth, where=shown)
    far = float(depth[shown].max())
    depth[~shown | (depth < foreground)] = far + 12.0 if floor_depth is None else max(floor_depth, far)
    small = Image.fromarray(depth).resize((max(width // 4, 1), max(height // 4, 1)), Image.Resampling.BOX)
    coarse = np.asarray(small)
    radius = max(max(width, height) / 4.0 / 40.0, 1.0)
    around = coarse.copy()
    for _ in range(2):
        around = _blur(around, radius)
    sunk = np.clip(coarse - around, 0.0, 9.0) / 9.0
    factor = (1.0 - light.contact * sunk).astype(np.float32)
    factor = np.asarray(Image.fromarray(factor).resize((width, height), Image.Resampling.BILINEAR))
    if floor_depth is not None:
        return factor
    return np.where(shown, factor, np.float32(1.0))


def _blur(values, radius):
    """Apply a box blur to a float image."""
    reach = max(round(radius), 1)
    for axis in (0, 1):
        padded = np.pad(values, [(reach + 1, reach) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        total = np.cumsum(padded, axis=axis, dtype=np.float64)
        size = values.shape[axis]
        high = np.take(total, np.arange(2 * reach + 1, 2 * reach + 1 + size), axis=axis)
        low = np.take(total, np.arange(0, size), axis=axis)
        values = ((high - low) / (2 * reach + 1)).astype(np.float32)
    return values


def _soften_edges(pixels, surface):
    """Anti-alias: blend pixels with their neighbours at the boundaries between surfaces."""
    image = Image.fromarray(pixels.astype(np.uint8))
    edge = np.zeros(surface.shape, bool)
    across, down = surface[:, 1:] != surface[:, :-1], surface[1:] != surface[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    soft = image.filter(ImageFilter.BoxBlur(0.75))
    image.paste(soft, (0, 0), Image.fromarray(edge.astype(np.uint8) * 220))
    return image
