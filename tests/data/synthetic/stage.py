"""A plain studio for tests: one figure, chosen garments, a camera straight ahead, and markers to paint on points."""

import dataclasses

import numpy as np
from PIL import Image

from cspn_tf.data.synthetic import clothes
from cspn_tf.data.synthetic.body import Build, Figure, body_meshes
from cspn_tf.data.synthetic.camera import look_at
from cspn_tf.data.synthetic.fabric import Fabric
from cspn_tf.data.synthetic.labels import label_keypoints
from cspn_tf.data.synthetic.mesh import Mesh
from cspn_tf.data.synthetic.props import screen
from cspn_tf.data.synthetic.shading import Light, assemble, opaque_buffer, render_surfaces
from cspn_tf.data.synthetic.skeleton import ArmPose, LegPose, Pose

WIDTH, HEIGHT = 384, 512
# Arms a little away from the body, so that they hide nothing from the front.
STANDING = Pose(arms=(ArmPose(abduct=0.5), ArmPose(abduct=0.5)), legs=(LegPose(abduct=0.05), LegPose(abduct=0.05)))
MARKER = (255.0, 0.0, 255.0)
FLAT_LIGHT = Light(np.array([0.0, 0.0, 1.0]), 1.0, 0.0)


@dataclasses.dataclass
class Stage:
    """A figure with one labelled garment before a camera."""

    figure: Figure
    garment: clothes.Clothing
    camera: object
    meshes: list

    def soup(self, extra=()):
        return assemble([*self.meshes, *extra], self.camera, FLAT_LIGHT)

    def label(self, extra=()):
        """Keypoints and visibility, with more meshes in the way."""
        soup = self.soup(extra)
        return label_keypoints(self.garment, soup, opaque_buffer(soup, WIDTH, HEIGHT), self.camera)

    def picture(self, extra=()):
        """RGB float `(H, W, 3)` without light and camera effects."""
        soup = self.soup(extra)
        buffer = opaque_buffer(soup, WIDTH, HEIGHT)
        grey = Image.new("RGB", (WIDTH, HEIGHT), (128, 128, 128))
        return np.asarray(render_surfaces(soup, buffer, grey, FLAT_LIGHT, np.zeros((128, 128), np.float32)), float)


def set_up(garment_type, *, pose=STANDING, turn=0.0, seed=0, with_body=True, **kwargs) -> Stage:
    """Put one garment of a type on a figure; `kwargs` go to its maker."""
    rng = np.random.default_rng(seed)
    figure = Figure(Build(hair_style="bald"), dataclasses.replace(pose, turn=turn))
    garment = clothes.MAKERS[garment_type](rng, figure, Fabric((60, 160, 90)), 1, **kwargs)
    body = body_meshes(rng, figure, clothes.coverage_of([garment])) if with_body else []
    camera = look_at((0.0, 88.0, 0.0), 420.0).aimed(1050.0, (WIDTH / 2, HEIGHT / 2), np.zeros((0, 5)))
    return Stage(figure, garment, camera, [*garment.meshes, *body])


def cover(camera, x, y, half):
    """A square near the camera that covers the pixels within `half` of (x, y)."""
    return screen(camera, (x - half, y - half, x + half, y + half), 0.5 * camera.distance, Fabric((9, 9, 9)))


def marker(garment, slot):
    """Paint the cloth around a keypoint in a colour of its own: a strip of its ring, narrow along the cloth.

    It reaches around the body, because from the front the sides of a ring are seen edge-on, and counts as nearer, so
    that it shows on a collar or belt that lies on the cloth.
    """
    mesh, row, column = garment.keypoints[slot]
    row %= len(mesh.points)
    rows = [max(row - 1, 0), row, min(row + 1, len(mesh.points) - 1)]
    around = mesh.points[np.ix_(rows, range(column - 4, column + 5))]
    middle = around[1:2]
    spacing = np.linalg.norm(around - middle, axis=-1).max()
    points = middle + min(1.0, 1.2 / spacing) * (around - middle)
    return Mesh(points, np.zeros((3, 9, 2)), Fabric(MARKER), 0, two_sided=True, bias=5.0, round=False)


def marked_pixels(before, after):
    """x and y of the pixels that a marker has painted, `(P, 2)`."""
    rows, columns = np.nonzero(np.abs(after - before).max(axis=-1) > 60)
    return np.stack([columns, rows], axis=1)
