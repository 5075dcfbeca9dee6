"""Labels: tight box and keypoint visibility, computed from the rendered surfaces."""

import numpy as np

from ...garments import NUM_KEYPOINTS, Visibility
from .raster import fragments

# A keypoint on the side of a ring counts as visible until cloth of the same mesh is in front of it by more than this
# fraction of the ring's radius, clipped to the range in centimetres: the body has then turned about 15 degrees.
_TURNED_AWAY, _TURNED_RANGE = 0.4, (1.5, 7.0)
# Additional tolerance for other cloth of the same garment on top of it, such as a belt or a collar, centimetres.
_OWN_CLOTH = 2.5
# Faces within this distance of a keypoint count as its surface, centimetres.
_REACH = 2.5
# Visibility is measured in a window of this radius around a keypoint, over the photo's long side; at least two pixels.
_WINDOW = 0.007


def inside(points_xy, width, height):
    """Check which points lie inside the photo, bool `(N,)`; pixel (0, 0) covers -0.5 to 0.5."""
    points_xy = np.asarray(points_xy)
    x, y = points_xy[..., 0], points_xy[..., 1]
    return (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)


def label_keypoints(garment, soup, buffer, camera, flat=1.0):
    """Project a garment's keypoints to the photo and determine their visibility.

    A keypoint is VISIBLE if, on the front side or the back side of it along its ring, at least half of the surface
    within a few pixels is unoccluded; cloth of the same garment that lies on it does not count as an occluder. So the
    far side of a body seen from the side is OCCLUDED, but the sides of a body seen from the front, where the surface
    turns away, are VISIBLE. Sheer cloth hides nothing.

    Args:
        garment: `Clothing`, whose meshes are in the soup.
        soup: `Soup`.
        buffer: `ZBuffer` of the opaque meshes.
        camera: `Camera`.
        flat: depth factor of its figure, see `Figure.flat`.

    Returns:
        keypoints_xy: float32 `(8, 2)`, 0 for keypoints without coordinates.
        visibility: int `(8,)`, `Visibility` codes.
    """
    height, width = buffer.nearness.shape
    keypoints_xy = np.zeros((NUM_KEYPOINTS, 2), np.float32)
    visibility = np.full(NUM_KEYPOINTS, int(Visibility.ABSENT))
    for slot, (mesh, row, column) in garment.keypoints.items():
        xy, depth = camera.project(mesh.points[row, column][None])
        if not inside(xy, width, height)[0]:
            visibility[slot] = Visibility.CUT_OFF
            continue
        keypoints_xy[slot] = xy[0]
        # At a neckline or a cuff the surface on one side of the point curves behind the body, so one side is enough.
        seen = any(
            _share_seen(mesh, row % len(mesh.points), column, side, xy[0], depth[0], soup, buffer, flat) >= 0.5
            for side in (-1, 1)
        )
        visibility[slot] = Visibility.VISIBLE if seen else Visibility.OCCLUDED
    return keypoints_xy, visibility


def _share_seen(mesh, row, column, side, xy, depth, soup, buffer, flat):
    """Return the unoccluded fraction of the pixels near a point that the faces on one side of it cover."""
    height, width = buffer.nearness.shape
    number, triangles = triangles_around(mesh, row, column, side, soup)
    _, pixel, near = fragments(soup.xy, soup.nearness, soup.triangles[triangles], width, height)
    reach = max(_WINDOW * max(height, width), 2.0)
    around = (np.abs(pixel % width - xy[0]) <= reach) & (np.abs(pixel // width - xy[1]) <= reach)
    pixel, near = pixel[around], near[around]
    if not len(pixel):
        # The surface is seen edge-on and covers no pixel: test the point itself.
        x, y = np.clip(np.floor(xy + 0.5).astype(int), 0, (width - 1, height - 1))
        pixel, near = np.array([y * width + x]), np.array([1.0 / (depth - mesh.bias)])
    pixel, place = np.unique(pixel, return_inverse=True)
    # Pixels of faces that recede from the point are compared at the point's own depth.
    own = np.full(len(pixel), 1.0 / (depth - mesh.bias))
    np.maximum.at(own, place, near)
    front, front_triangle = buffer.nearness.ravel()[pixel], buffer.triangle.ravel()[pixel]
    anything = front_triangle >= 0
    same_mesh = anything & (soup.mesh[front_triangle] == number)
    same_owner = anything & (soup.owner[front_triangle] == mesh.owner)
    ring = mesh.points[row]
    radius = float(np.linalg.norm(mesh.points[row, column] - ring.mean(axis=0)))
    turned_away = float(np.clip(_TURNED_AWAY * radius, *_TURNED_RANGE))
    allowed = np.where(same_mesh, turned_away, np.where(same_owner, turned_away + _OWN_CLOTH, 0.0)) * max(flat, 0.25)
    in_front = np.where(anything, 1.0 / own - 1.0 / np.maximum(front, 1e-9), -1.0)
    return float((in_front <= allowed + 0.02).mean())


def triangles_around(mesh, row, column, side, soup):
    """Find the triangles adjacent to a point of a mesh or within `_REACH` of it, on one side along its ring.

    Returns:
        Index of the mesh in the soup, and indices of the soup's triangles.
    """
    number = next(k for k, other in enumerate(soup.meshes) if other is mesh)
    num_rows, num_columns = mesh.points.shape[:2]
    rows = np.arange(max(row - 4, 0), min(row + 5, num_rows))[:, None]
    columns = (column + side * np.arange(3))[None]
    distance = np.linalg.norm(mesh.points[rows, columns] - mesh.points[row, column], axis=-1)
    chosen = (distance <= _REACH) | ((np.abs(rows - row) <= 1) & (np.abs(columns - column) <= 1))
    near = np.zeros(num_rows * num_columns, bool)
    near[(rows * num_columns + columns)[chosen]] = True
    of_mesh = np.flatnonzero(soup.mesh == number)
    return number, of_mesh[near[soup.triangles[of_mesh] - soup.first_points[number]].all(axis=1)]


def silhouette_box(owner, soup, width, height):
    """Return the tight box of a garment inside the photo, hidden parts included: x_min, y_min, x_max, y_max of its
    outermost pixel centres, floats; None if it has no pixel in the photo."""
    triangles = soup.triangles[soup.owner == owner]
    corners = soup.xy[triangles]
    low, high = corners.min(axis=1), corners.max(axis=1)
    frame = np.array([width - 1.0, height - 1.0])
    touching = ((high >= 0) & (low <= frame)).all(axis=1)
    if not touching.any():
        return None
    first = np.maximum(low[touching].min(axis=0), 0.0)
    last = np.minimum(high[touching].max(axis=0), frame)
    # Only triangles near the rim of the approximate box can determine the exact one.
    rim = touching & ((low <= first + 3.0).any(axis=1) | (high >= last - 3.0).any(axis=1))
    _, pixel, _ = fragments(soup.xy, soup.nearness, triangles[rim], width, height)
    if not len(pixel):
        return None
    row, column = np.divmod(pixel, width)
    return float(column.min()), float(row.min()), float(column.max()), float(row.max())
