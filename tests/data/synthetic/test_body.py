import dataclasses

import numpy as np
import pytest

from cspn_tf.data.synthetic.body import HAIR_STYLES, Build, Coverage, Figure, body_meshes, draw_build
from cspn_tf.data.synthetic.skeleton import HIP_HEIGHT, LegPose, Pose


def test_the_waist_is_narrower_than_chest_and_hip():
    width, depth, _ = Figure(Build(), Pose()).measures(np.array([90.0, 107.0, 124.0]))
    assert width[1] < width[2] < width[0] and (depth > 8).all()
    wide, _, _ = Figure(Build(hip=1.2), Pose()).measures(np.array([90.0]))
    assert wide[0] == pytest.approx(1.2 * width[0], rel=0.05)


def test_rings_of_an_upright_trunk_have_their_sides_where_they_are_asked_for():
    figure = Figure(Build(), Pose())
    sides = figure.surface(np.array([-np.pi / 2, np.pi / 2]), 110.0, 13.0, 9.0)
    np.testing.assert_allclose(sides[:, 0], (-13.0, 13.0), atol=1e-6)
    np.testing.assert_allclose(sides[:, 1], 110.0, atol=0.2)


def test_a_flat_figure_keeps_its_width_and_loses_its_depth():
    azimuth = np.linspace(-np.pi, np.pi, 9)
    thick, thin = (Figure(Build(), Pose(), flat=f).surface(azimuth, 110.0, 13.0, 9.0) for f in (1.0, 0.1))
    np.testing.assert_allclose(thin[:, 0], thick[:, 0], atol=1e-6)
    np.testing.assert_allclose(thin[:, 2], 0.1 * thick[:, 2], atol=1e-6)


def test_the_line_between_the_legs_follows_them():
    standing = Figure(Build(), Pose()).skirt_path(np.array([20.0])).centres[0]
    np.testing.assert_allclose(standing, (0.0, HIP_HEIGHT - 20.0, 0.0), atol=1e-6)
    leg = LegPose(flex=np.pi / 2, bend=np.pi / 2)
    sitting = Figure(Build(), Pose(legs=(leg, leg))).skirt_path(np.array([20.0])).centres[0]
    np.testing.assert_allclose(sitting, (0.0, HIP_HEIGHT, 20.0), atol=1e-6)
    aside, ahead = Figure(Build(), Pose()).leg_spread(np.array([20.0, 40.0]))
    np.testing.assert_allclose(aside, 8.6, atol=1e-6)
    np.testing.assert_allclose(ahead, 0.0, atol=1e-6)


def test_covered_limbs_are_not_drawn():
    figure = Figure(Build(), Pose())
    bare = body_meshes(np.random.default_rng(0), figure, Coverage())
    dressed = body_meshes(np.random.default_rng(0), figure, Coverage(arms={1: (-20.0, 30.0)}))
    hidden = [mesh for mesh, other in zip(dressed, bare, strict=True) if mesh.faces is not None and other.faces is None]
    assert len(hidden) == 1 and not hidden[0].faces[:5].any() and hidden[0].faces[-1].all()
    assert hidden[0].points[..., 0].min() > 0  # the arm of side 1


@pytest.mark.parametrize("style", HAIR_STYLES)
def test_bodies_are_unlabelled_finite_and_have_hair_by_style(style):
    figure = Figure(dataclasses.replace(Build(), hair_style=style), Pose())
    meshes = body_meshes(np.random.default_rng(3), figure, Coverage())
    assert all(mesh.owner == 0 and np.isfinite(mesh.points).all() for mesh in meshes)
    hairy = [mesh for mesh in meshes if mesh.fabric.colour == figure.build.hair]
    assert len(hairy) == {"bald": 0, "short": 1}.get(style, 2)


def test_faces_look_to_the_front():
    figure = Figure(Build(hair_style="bald"), Pose())
    head = body_meshes(np.random.default_rng(0), figure, Coverage())[-1]
    assert head.fabric.decal is not None
    nose = head.points[np.unravel_index(np.argmax(head.points[..., 2]), head.points.shape[:2])]
    assert abs(nose[0]) < 1e-6


def test_builds_differ():
    builds = [draw_build(np.random.default_rng(seed)) for seed in range(30)]
    assert len({build.skin for build in builds}) == 30
    assert {build.hair_style for build in builds} > {"short", "long"}
    assert np.ptp([build.waist for build in builds]) > 0.15
