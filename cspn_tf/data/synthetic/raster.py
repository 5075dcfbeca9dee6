"""A z-buffer rasteriser, vectorised over all triangles: the front-most triangle at each pixel.

Triangles are split into horizontal runs of pixels, and runs into pixels (fragments); for each pixel the nearest
fragment wins. Integer coordinates are pixel centres.

Letters in shapes: N points, T triangles, P pixels.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class ZBuffer:
    """The front-most triangle at each pixel.

    Attributes:
        triangle: int32 `(H, W)`, index of the triangle, -1 for background.
        nearness: float32 `(H, W)`, 1 / depth; 0 for background.
    """

    triangle: np.ndarray
    nearness: np.ndarray


def rasterise(xy, nearness, triangles, width, height) -> ZBuffer:
    """Find the front-most triangle of each pixel.

    Args:
        xy: `(N, 2)` pixels.
        nearness: `(N,)`, 1 / depth.
        triangles: int `(T, 3)`, point indices.
        width, height: pixels.
    """
    owner, pixel, near = fragments(xy, nearness, triangles, width, height)
    best = np.zeros(width * height, np.float32)
    front = np.full(width * height, -1, np.int32)
    places, values = pixel, near
    while len(places):
        # With several values for one pixel NumPy keeps the last; repeat for the pixels where a nearer one was lost.
        best[places] = values
        behind = values > best[places]
        places, values = places[behind], values[behind]
    won = near == best[pixel]
    front[pixel[won]] = owner[won]
    return ZBuffer(front.reshape(height, width), best.reshape(height, width))


def fragments(xy, nearness, triangles, width, height):
    """List the pixels whose centres lie in each triangle, hidden ones included, from far triangles to near ones.

    Args:
        xy, nearness, triangles, width, height: as in `rasterise`.

    Returns:
        triangle: int32 `(P,)`, index of the triangle.
        pixel: int32 `(P,)`, row * width + column.
        nearness: float32 `(P,)`, 1 / depth.
    """
    corners = np.asarray(xy, np.float64)[triangles]
    low, high = corners.min(axis=1), corners.max(axis=1)
    first = np.maximum(np.ceil(low[:, 1]), 0).astype(np.int64)
    last = np.minimum(np.ceil(high[:, 1]) - 1, height - 1).astype(np.int64)
    crosses = (last >= first) & (high[:, 0] >= 0) & (low[:, 0] <= width - 1)
    near = np.asarray(nearness, np.float64)[triangles]
    chosen = np.flatnonzero(crosses)
    chosen = chosen[np.argsort(near[chosen].sum(axis=1))]
    corners, near, first, last = corners[chosen], near[chosen], first[chosen], last[chosen]
    x_slope, y_slope, at_zero = gradients(corners, near[..., None])[..., 0].T
    order = np.argsort(corners[..., 1], axis=1)
    ordered = np.take_along_axis(corners, order[..., None], axis=1)
    (x0, y0), (x1, y1), (x2, y2) = (ordered[:, k].T for k in range(3))
    # A horizontal edge has no runs: its slope is never used.
    long_slope, upper_slope, lower_slope = (
        np.divide(dx, dy, out=np.zeros_like(dx), where=dy != 0.0)
        for dx, dy in ((x2 - x0, y2 - y0), (x1 - x0, y1 - y0), (x2 - x1, y2 - y1))
    )
    counts = last - first + 1
    run_triangle = np.repeat(np.arange(len(chosen)), counts)
    starts = np.cumsum(counts) - counts
    row = np.arange(len(run_triangle)) - (starts - first)[run_triangle]
    y = row.astype(np.float64)
    t = run_triangle
    on_long = x0[t] + (y - y0[t]) * long_slope[t]
    on_upper = x0[t] + (y - y0[t]) * upper_slope[t]
    on_lower = x1[t] + (y - y1[t]) * lower_slope[t]
    on_short = np.where(y < y1[t], on_upper, on_lower)
    start = np.maximum(np.ceil(np.minimum(on_long, on_short)), 0).astype(np.int64)
    end = np.minimum(np.ceil(np.maximum(on_long, on_short)) - 1, width - 1).astype(np.int64)
    lengths = end - start + 1
    some = lengths > 0
    t, row, start, lengths = t[some], row[some], start[some], lengths[some]
    offset = np.cumsum(lengths) - lengths
    step = np.arange(int(lengths.sum()), dtype=np.int32) - np.repeat(offset.astype(np.int32), lengths)
    pixel = np.repeat((row * width + start).astype(np.int32), lengths) + step
    at_start = at_zero[t] + x_slope[t] * start + y_slope[t] * row
    value = np.repeat(at_start.astype(np.float32), lengths)
    value += np.repeat(x_slope[t].astype(np.float32), lengths) * step
    return np.repeat(chosen[t].astype(np.int32), lengths), pixel, value


def gradients(corners, values):
    """Fit a plane to values at the corners of triangles.

    Args:
        corners: `(T, 3, 2)` pixels.
        values: `(T, 3, A)`.

    Returns:
        `(T, 3, A)`: slope along x, slope along y, value at (0, 0).
    """
    (ax, ay), (bx, by) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    area = ax * by - bx * ay
    inverse = np.where(np.abs(area) > 1e-9, 1.0 / np.where(area == 0.0, 1.0, area), 0.0)[:, None]
    va, vb = values[:, 1] - values[:, 0], values[:, 2] - values[:, 0]
    along_x = (va * by[:, None] - vb * ay[:, None]) * inverse
    along_y = (vb * ax[:, None] - va * bx[:, None]) * inverse
    at_zero = values[:, 0] - along_x * corners[:, 0, :1] - along_y * corners[:, 0, 1:]
    return np.stack([along_x, along_y, at_zero], axis=1)
