import numpy as np
import pytest

from cspn_tf.data.synthetic import clothes
from cspn_tf.data.synthetic.body import Build, Figure, body_meshes, draw_build
from cspn_tf.data.synthetic.clothes import MAKERS, coverage_of, make_bottom, make_full, make_sheer, make_top
from cspn_tf.data.synthetic.fabric import Fabric
from cspn_tf.data.synthetic.poses import draw_pose
from cspn_tf.data.synthetic.skeleton import HIP_HEIGHT, Pose
from cspn_tf.garments import KEYPOINT_SLOTS, GarmentType, Variation

GREEN = Fabric((60, 160, 90))
KINDS = [
    *((make_top, kind) for kind in clothes.TOP_SHARES),
    *((make_bottom, kind) for kind in clothes.BOTTOM_SHARES),
    *((make_full, kind) for kind in clothes.FULL_SHARES),
]


def upright(**build):
    return Figure(Build(**build), Pose())


@pytest.mark.parametrize(("make", "kind"), KINDS)
@pytest.mark.parametrize("variation", [Variation.NORMAL_POSE, Variation.LARGE_POSE])
def test_keypoints_are_those_of_the_type_and_points_of_the_garments_own_meshes(make, kind, variation):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        figure = Figure(draw_build(rng), draw_pose(rng, variation))
        garment = make(rng, figure, GREEN, 3, kind=kind)
        assert garment.kind == kind
        assert sorted(garment.keypoints) == sorted(KEYPOINT_SLOTS[garment.garment_type])
        assert all(mesh.owner == 3 for mesh in garment.meshes)
        for slot, (mesh, row, column) in garment.keypoints.items():
            assert any(mesh is own for own in garment.meshes)
            np.testing.assert_array_equal(garment.keypoint(slot), mesh.points[row, column])
        assert np.isfinite(garment.points()).all()


@pytest.mark.parametrize(("make", "kind"), KINDS)
def test_keypoints_of_an_upright_figure_are_at_its_sides_in_mirrored_pairs(make, kind):
    garment = make(np.random.default_rng(5), upright(), GREEN, 1, kind=kind)
    for left in (0, 2, 4, 6):
        if left not in garment.keypoints:
            continue
        a, b = garment.keypoint(left), garment.keypoint(left + 1)
        assert a[0] < 0 < b[0]
        # Folds are not symmetric, cuts are.
        np.testing.assert_allclose(a * (-1, 1, 1), b, atol=4.5)


def test_collars_cuffs_waists_and_hems_come_in_the_order_of_the_body():
    for seed in range(10):
        garment = make_full(np.random.default_rng(seed), upright(), GREEN, 1, kind="dress")
        collar, waist, hem = (garment.keypoint(slot)[1] for slot in (1, 5, 7))
        assert collar > 140 > waist > 95 > hem
        assert abs(waist - 107.0) < 8


def test_the_waistline_of_a_full_body_garment_is_its_narrowest_ring():
    for seed in range(12):
        garment = make_full(np.random.default_rng(seed), upright(), GREEN, 1, kind="dress")
        mesh, row, column = garment.keypoints[5]
        other = garment.keypoints[4][2]
        heights = mesh.points[:, column, 1]
        width = mesh.points[:, column, 0] - mesh.points[:, other, 0]
        near = (heights > 99.0) & (heights < 116.0)
        assert width[row] <= width[near].min() + 1.5  # folds of the cloth come on top


def test_cuffs_end_where_the_sleeve_does_and_straps_on_the_shoulder():
    figure = upright()
    tee = make_top(np.random.default_rng(1), figure, GREEN, 1, kind="tee")
    coat = make_top(np.random.default_rng(1), figure, GREEN, 1, kind="coat")
    tank = make_top(np.random.default_rng(1), figure, GREEN, 1, kind="tank")
    wrist = figure.skeleton.arms[1][2]
    assert coat.keypoint(3)[1] < wrist[1] + 8.0 < tee.keypoint(3)[1] < tank.keypoint(3)[1]
    assert tank.keypoint(3)[1] > 138.0
    assert 0 < tank.keypoint(1)[0] < tank.keypoint(3)[0] < 17.0


def test_a_skirt_holds_both_legs_in_every_pose():
    for seed in range(12):
        rng = np.random.default_rng(seed)
        figure = Figure(draw_build(rng), draw_pose(rng, Variation.LARGE_POSE))
        at = np.linspace(10.0, 50.0, 6)
        aside, ahead = figure.leg_spread(at)
        half_width, half_depth = np.full((6, 1), 1.0), np.full((6, 1), 1.0)
        clothes._around_legs(figure, (HIP_HEIGHT - at)[:, None], half_width, half_depth)
        assert (half_width[:, 0] >= aside + figure.leg_radius(at)).all()
        assert (half_depth[:, 0] >= ahead + figure.leg_radius(at)).all()


def test_an_open_coat_parts_in_front_and_shows_that_it_does():
    for seed in range(40):
        coat = make_top(np.random.default_rng(seed), upright(), GREEN, 1, kind="coat")
        if coat.is_open:
            break
    mesh = coat.keypoints[0][0]
    assert not mesh.faces[:, mesh.faces.shape[1] // 2].any()
    assert not make_top(np.random.default_rng(seed), upright(), GREEN, 1, kind="coat", may_open=False).is_open


def test_sheer_cloth_has_lined_parts_and_keeps_its_keypoints():
    figure = upright()
    dress = make_full(np.random.default_rng(8), figure, GREEN, 1, kind="dress")
    before = {slot: dress.keypoint(slot) for slot in dress.keypoints}
    make_sheer(np.random.default_rng(0), dress)
    opacities = {mesh.fabric.opacity for mesh in dress.meshes}
    assert 1.0 in opacities and min(opacities) < 0.8
    for slot, point in before.items():
        np.testing.assert_array_equal(dress.keypoint(slot), point)
        assert any(dress.keypoints[slot][0] is mesh for mesh in dress.meshes)
    assert coverage_of([dress]).trunk == []


def test_skin_below_opaque_cloth_is_left_out():
    figure = upright()
    garment = make_full(np.random.default_rng(0), figure, GREEN, 1, kind="jumpsuit")

    def num_faces(garments):
        meshes = body_meshes(np.random.default_rng(0), figure, coverage_of(garments))
        return sum(np.size(m.points[:-1, :-1, 0]) if m.faces is None else m.faces.sum() for m in meshes)

    assert num_faces([garment]) < num_faces([]) - 300


@pytest.mark.parametrize("garment_type", list(MAKERS))
def test_a_garment_laid_flat_has_little_depth(garment_type):
    def depth(flat):
        figure = Figure(Build(), Pose(), flat=flat)
        garment = MAKERS[garment_type](np.random.default_rng(2), figure, GREEN, 1)
        return np.ptp(garment.points()[:, 2])

    assert depth(0.13) < 0.45 * depth(1.0)


def test_every_kind_is_drawn():
    for make, shares in (
        (make_top, clothes.TOP_SHARES),
        (make_bottom, clothes.BOTTOM_SHARES),
        (make_full, clothes.FULL_SHARES),
    ):
        rng = np.random.default_rng(0)
        assert {make(rng, upright(), GREEN, 1).kind for _ in range(60)} == set(shares)


def test_a_tucked_top_lies_below_and_a_loose_one_above_the_bottom():
    bottom = make_bottom(np.random.default_rng(0), upright(), GREEN, 2)
    tucked = make_top(np.random.default_rng(0), upright(), GREEN, 1, kind="tee", tucked=True)
    loose = make_top(np.random.default_rng(0), upright(), GREEN, 1, kind="tee")
    assert tucked.meshes[0].bias < bottom.meshes[0].bias < loose.meshes[0].bias


def test_garment_types_are_told():
    for garment_type, make in MAKERS.items():
        assert make(np.random.default_rng(0), upright(), GREEN, 1).garment_type is GarmentType(garment_type)
