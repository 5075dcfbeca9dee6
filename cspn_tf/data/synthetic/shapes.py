"""Outlines: smooth curves and blobs, for backgrounds and prints.

Points are float64 `(N, 2)` arrays of x, y with y downwards, in the caller's unit.
"""

import numpy as np


def curve(points, steps=6):
    """Return a smooth (Catmull-Rom) curve through the points, both ends included."""
    points = np.asarray(points, float)
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    p0, p1, p2, p3 = padded[:-3, None], padded[1:-2, None], padded[2:-1, None], padded[3:, None]
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[None, :, None]
    pieces = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * (p1 - p2) + p3 - p0) * t**3)
    return np.concatenate([pieces.reshape(-1, 2), points[-1:]])


def blob(rng, centre, radius_x, radius_y, roughness=0.18, num_points=11):
    """Sample the outline of a rounded irregular patch: foliage, a stone, a splash of print."""
    t = np.linspace(0.0, 2.0 * np.pi, num_points, endpoint=False)
    reach = 1.0 + roughness * rng.uniform(-1.0, 1.0, num_points)
    points = np.stack([radius_x * reach * np.cos(t), radius_y * reach * np.sin(t)], axis=1) + np.asarray(centre, float)
    return curve(np.concatenate([points, points[:1]]), steps=3)[:-1]
