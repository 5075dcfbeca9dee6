"""Surfaces: grids of points with cloth coordinates, and primitive shapes for bodies, clothes and props.

A mesh is a grid `(R, C)`. Its orientation: seen from outside with rows running downwards, columns run to the right.
The seam of tubes is at the back: azimuth -pi .. pi, 0 to the front, pi/2 to x.
"""

import dataclasses

import numpy as np

from .fabric import Fabric
from .skeleton import distances_along


@dataclasses.dataclass
class Mesh:
    """One surface.

    Attributes:
        points: float `(R, C, 3)`, world centimetres.
        uv: float `(R, C, 2)`, cloth coordinates, centimetres: around or across, and downwards.
        fabric: `Fabric`.
        owner: number of the labelled garment it belongs to, from 1; 0 for everything else.
        faces: bool `(R - 1, C - 1)`, the faces that exist; None for all.
        face_tone: float `(R - 1, C - 1)`, brightness factor by face; None for 1.
        tone: float `(R, C)`, brightness factor by point, interpolated; None for 1.
        two_sided: whether its inside can be seen: true for cloth, false for bodies.
        bias: depth bias towards the camera, centimetres, so that cloth is in front of the layers below it.
        round: whether the columns close to a ring.
    """

    points: np.ndarray
    uv: np.ndarray
    fabric: Fabric
    owner: int = 0
    faces: np.ndarray | None = None
    face_tone: np.ndarray | None = None
    tone: np.ndarray | None = None
    two_sided: bool = False
    bias: float = 0.0
    round: bool = True


def azimuths(columns):
    """Return a ring's angles, `(columns + 1,)` from -pi to pi, including +-pi/2 if `columns` is a multiple of four."""
    return np.linspace(-np.pi, np.pi, columns + 1)


def ring(azimuth, power=2.0):
    """Return sideways and front coordinates of a unit ring, `(2, ...)`: a circle, or boxier with a power above 2."""
    sine, cosine = np.sin(azimuth), np.cos(azimuth)
    exponent = 2.0 / power
    return np.stack([np.sign(sine) * np.abs(sine) ** exponent, np.sign(cosine) * np.abs(cosine) ** exponent])


def tube(path, half_width, half_depth, columns, power=2.0, **kwargs):
    """Build a tube around a path.

    Args:
        path: `Path` with R points.
        half_width, half_depth: `(R,)`, along `path.across` and `path.front`.
        columns: number of faces around.
        power: as in `ring`.
        **kwargs: for `Mesh`; `fabric` is required.

    Returns:
        `Mesh` of `(R, columns + 1)` points.
    """
    azimuth = azimuths(columns)
    side, front = ring(azimuth, power)
    points = (
        path.centres[:, None]
        + (np.asarray(half_width)[:, None] * side)[..., None] * path.across[:, None]
        + (np.asarray(half_depth)[:, None] * front)[..., None] * path.front[:, None]
    )
    around = azimuth * float(np.mean(half_width))
    uv = np.stack(np.broadcast_arrays(around[None], distances_along(path.centres)[:, None]), axis=-1)
    return Mesh(points, uv, **kwargs)


def ellipsoid(centre, rotation, radii, rows, columns, power=2.0, **kwargs):
    """Build an ellipsoid, or a superellipsoid (boxier) with a power above 2.

    Args:
        centre: `(3,)`.
        rotation: `(3, 3)`, its axes as columns: sideways, up, to the front.
        radii: radii along these axes.
        rows, columns: numbers of faces.
        power: power of its sections, as in `ring`.
        **kwargs: for `Mesh`; `fabric` is required.
    """
    polar = np.linspace(0.03, np.pi - 0.03, rows + 1)
    azimuth = azimuths(columns)
    side, front = ring(azimuth, power)
    out, up = ring(polar, power)
    local = np.stack(
        [
            radii[0] * out[:, None] * side,
            np.broadcast_to((radii[1] * up)[:, None], (rows + 1, columns + 1)),
            radii[2] * out[:, None] * front,
        ],
        axis=-1,
    )
    uv = np.stack(np.broadcast_arrays(azimuth[None] * radii[0], polar[:, None] * radii[1]), axis=-1)
    return Mesh(local @ np.asarray(rotation).T + centre, uv, **kwargs)


def ribbon(points, across, half_width, **kwargs):
    """Build a flat strip along points `(R, 3)`, `half_width` to both sides along `across`, `(R, 3)` or `(3,)`."""
    points = np.asarray(points, float)
    offset = np.broadcast_to(np.asarray(across, float) * half_width, points.shape)
    grid = np.stack([points - offset, points + offset], axis=1)
    sideways, down = np.array([-half_width, half_width]), distances_along(points)
    uv = np.stack(np.broadcast_arrays(sideways[None], down[:, None]), axis=-1)
    return Mesh(grid, uv, two_sided=True, round=False, **kwargs)


def normals(mesh):
    """Return the outward unit normals, `(R, C, 3)`."""
    down, right = np.gradient(mesh.points, axis=(0, 1))
    if mesh.round:
        right[:, 0] = right[:, -1] = mesh.points[:, 1] - mesh.points[:, -2]
    normal = np.cross(down, right)
    return normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-6)


def quads(mesh):
    """Return the existing faces as rows of four point indices into the flattened grid, and their row and column."""
    rows, columns = mesh.points.shape[:2]
    if mesh.faces is None:
        row, column = np.indices((rows - 1, columns - 1)).reshape(2, -1)
    else:
        row, column = np.nonzero(mesh.faces)
    first = row * columns + column
    return np.stack([first, first + 1, first + columns + 1, first + columns], axis=1), row, column
