"""The camera: perspective projection from world centimetres to photo pixels, then a smooth lens warp.

Integer coordinates are pixel centres. Labels and surfaces share the projection.
"""

import dataclasses

import numpy as np

from .skeleton import rotation_x, rotation_z


@dataclasses.dataclass(frozen=True)
class Camera:
    """A camera that looks at a point from the front.

    Attributes:
        target: `(3,)`, world point that it looks at.
        rotation: `(3, 3)`, from world to camera axes: right, up, towards the camera.
        distance: distance from the target, centimetres.
        focal: focal length, pixels.
        centre: `(2,)`, pixels; projection of the target.
        warp: rows of (amplitude_x, amplitude_y, frequency_x, frequency_y, phase), pixels and radians a pixel.
    """

    target: np.ndarray
    rotation: np.ndarray
    distance: float
    focal: float = 1.0
    centre: tuple = (0.0, 0.0)
    warp: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 5)))

    @property
    def scale(self) -> float:
        """Pixels per centimetre at the target."""
        return self.focal / self.distance

    def project(self, points):
        """Project world points `(N, 3)` to photo pixels `(N, 2)` and depths `(N,)`, centimetres."""
        seen = (np.asarray(points, float) - self.target) @ self.rotation.T
        depth = np.maximum(self.distance - seen[:, 2], 1.0)
        flat = seen[:, :2] * (self.focal / depth)[:, None] * (1.0, -1.0) + self.centre
        if len(self.warp):
            phases = flat @ self.warp[:, 2:4].T + self.warp[:, 4]
            flat = flat + np.sin(phases) @ self.warp[:, 0:2]
        return flat, depth

    def unproject(self, xy, depth):
        """Return the world points at photo pixels `(2,)` or `(N, 2)` and a depth, ignoring the warp."""
        flat = (np.asarray(xy, float) - self.centre) * (depth / self.focal) * (1.0, -1.0)
        toward = np.full(flat.shape[:-1] + (1,), self.distance - depth)
        return np.concatenate([flat, toward], axis=-1) @ self.rotation + self.target

    def aimed(self, focal, centre, warp):
        """Return the camera with another focal length, centre and warp."""
        return dataclasses.replace(self, focal=float(focal), centre=tuple(centre), warp=warp)


def look_at(target, distance, pitch=0.0, roll=0.0) -> Camera:
    """Return a camera of focal length 1.

    Args:
        target: `(3,)`, world point that it looks at.
        distance: centimetres.
        pitch: radians by which it looks down.
        roll: radians by which the picture turns clockwise.
    """
    return Camera(np.asarray(target, float), rotation_z(-roll) @ rotation_x(pitch), float(distance))


def draw_warp(rng, long_side, strength=0.006):
    """Sample a smooth warp with displacements of at most about 3 * `strength` * `long_side`."""
    amplitude = rng.uniform(0.0, strength) * long_side
    direction, phase = rng.uniform(0.0, 2.0 * np.pi, (2, 3))
    frequency = 2.0 * np.pi / (long_side * rng.uniform(0.5, 1.2, 3))
    shift = amplitude * rng.uniform(-1.0, 1.0, (3, 2))
    return np.column_stack([shift, frequency * np.cos(direction), frequency * np.sin(direction), phase])
