import dataclasses

import numpy as np
import pytest
from PIL import Image

from cspn_tf.data.synthetic.camera import look_at
from cspn_tf.data.synthetic.fabric import Decal, Fabric
from cspn_tf.data.synthetic.mesh import Mesh
from cspn_tf.data.synthetic.shading import Light, assemble, crease_texture, draw_light, opaque_buffer, render_surfaces

# A photo of 60 x 60 pixels, two pixels a centimetre, (0, 0, 0) at (30, 30).
CAMERA = look_at((0.0, 0.0, 0.0), 200.0).aimed(400.0, (30.0, 30.0), np.zeros((0, 5)))
FLAT = Light(np.array([0.0, 0.0, 1.0]), 0.9, 0.0)
NO_CREASES = np.zeros((128, 128), np.float32)
RED, BLUE = Fabric((200, 0, 0)), Fabric((0, 0, 200))


def sheet(fabric, z=0.0, half=8.0, flipped=False, **kwargs):
    """A square that faces the camera, with cloth coordinates from its middle."""
    x = np.linspace(-half, half, 9)[:: -1 if flipped else 1]
    grid = np.stack(np.broadcast_arrays(x[None], -np.linspace(-half, half, 9)[:, None], z), axis=-1)
    return Mesh(grid, grid[..., :2] * (1.0, -1.0), fabric, round=False, **kwargs)


def paint(*meshes, light=FLAT, floor_depth=None):
    soup = assemble(list(meshes), CAMERA, light)
    background = Image.new("RGB", (60, 60), (100, 100, 100))
    buffer = opaque_buffer(soup, 60, 60)
    return np.asarray(render_surfaces(soup, buffer, background, light, NO_CREASES, 0.0, floor_depth), float)


def test_surfaces_cover_the_background_in_their_colour():
    picture = paint(sheet(RED))
    assert picture[30, 30, 0] > 150 and picture[30, 30, 1:].max() == 0
    np.testing.assert_array_equal(picture[5, 5], 100)
    # 16 cm are 32 pixels.
    assert (picture[30, :, 1] < 50).sum() == pytest.approx(32, abs=1)


def test_the_nearer_surface_hides_the_farther_one_unless_a_bias_says_otherwise():
    assert paint(sheet(RED, 0.0), sheet(BLUE, 3.0))[30, 30, 2] > 100
    assert paint(sheet(RED, 0.0, bias=5.0), sheet(BLUE, 3.0))[30, 30, 0] > 100


def test_far_sides_are_darker_insides_of_cloth_and_nothing_of_bodies():
    outside, inside = paint(sheet(RED))[30, 30], paint(sheet(RED, flipped=True, two_sided=True))[30, 30]
    assert 30 < inside[0] < 0.75 * outside[0]
    np.testing.assert_array_equal(paint(sheet(RED), sheet(RED, 5.0, 2.0, flipped=True))[30, 30], outside)


def test_sheer_cloth_lets_through_what_is_below():
    sheer = dataclasses.replace(BLUE, opacity=0.5)
    red, blue = paint(sheet(RED))[30, 30], paint(sheet(BLUE))[30, 30]
    np.testing.assert_allclose(paint(sheet(RED), sheet(sheer, 3.0))[30, 30], (red + blue) / 2, atol=2.0)
    np.testing.assert_allclose(paint(sheet(sheer))[30, 30], (np.full(3, 100) + blue) / 2, atol=2.0)
    np.testing.assert_array_equal(paint(sheet(RED, 6.0), sheet(sheer, 3.0))[30, 30], red)


def test_patterns_follow_the_cloth_and_not_the_photo():
    striped = Fabric((200, 0, 0), (0, 0, 200), "stripes_across", 8.0)
    across = paint(sheet(striped))
    turned = sheet(striped)
    turned.uv = turned.uv[..., ::-1]
    along = paint(turned)
    assert across[16:44, 30, 2].std() > 40 > 5 > across[30, 16:44, 2].std()
    assert along[30, 16:44, 2].std() > 40 > 5 > along[16:44, 30, 2].std()


def test_decals_lie_where_their_cloth_coordinates_are_and_not_on_the_inside():
    rgba = np.full((4, 4, 4), (0.0, 200.0, 0.0, 1.0), np.float32)
    marked = dataclasses.replace(RED, decal=Decal(rgba, (2.0, -6.0), 1.0))
    picture = paint(sheet(marked))
    rows, columns = np.nonzero(picture[..., 1] > 150)
    # u in 2..6 cm and v in -6..-2 cm, two pixels a centimetre around (30, 30).
    np.testing.assert_allclose((columns.min(), columns.max(), rows.min(), rows.max()), (34, 41, 18, 25), atol=1)
    assert paint(sheet(marked, flipped=True, two_sided=True))[..., 1].max() <= 100


def test_what_faces_the_light_is_brighter():
    from_right = Light(np.array([0.8, 0.0, 0.6]), 0.4, 0.0)
    to_right, to_left = sheet(RED), sheet(RED)
    to_right.points[..., 2] -= to_right.points[..., 0]
    to_left.points[..., 2] += to_left.points[..., 0]
    assert paint(to_right, light=from_right)[30, 30, 0] > 1.4 * paint(to_left, light=from_right)[30, 30, 0]


def test_contact_shadows_fall_beside_what_is_in_front():
    shady = Light(FLAT.direction, 0.9, 0.7)
    picture = paint(sheet(BLUE, 0.0, 12.0), sheet(RED, 6.0, 4.0), light=shady)
    assert picture[30, 40, 2] < 0.97 * picture[30, 50, 2]
    on_table = paint(sheet(RED, 0.0, 8.0), light=shady, floor_depth=208.0)
    assert on_table[30, 48, 1] < 99 < on_table[2, 2, 1] + 2


def test_tones_of_faces_make_bands():
    tone = np.ones((8, 8))
    tone[-1] = 0.5
    picture = paint(sheet(RED, face_tone=tone))
    assert picture[44, 30, 0] == pytest.approx(0.5 * picture[30, 30, 0], rel=0.1)


def test_creases_have_no_seam_and_no_mean():
    creases = crease_texture(np.random.default_rng(0))
    assert creases.shape == (128, 128) and creases.dtype == np.float32
    assert abs(creases.mean()) < 0.05 < creases.std() < 0.3
    inner = np.abs(np.diff(creases, axis=0)).mean()
    assert np.abs(creases[0] - creases[-1]).mean() < 2.0 * inner


def test_light_comes_from_the_cameras_side():
    for seed in range(20):
        light = draw_light(np.random.default_rng(seed))
        assert np.linalg.norm(light.direction) == pytest.approx(1.0)
        assert light.direction[2] > 0 and 0 < light.ambient < 1
