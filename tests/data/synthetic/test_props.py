import numpy as np

from cspn_tf.data.synthetic import props
from cspn_tf.data.synthetic.body import Build, Figure
from cspn_tf.data.synthetic.camera import look_at
from cspn_tf.data.synthetic.clothes import make_bottom, make_top
from cspn_tf.data.synthetic.fabric import Fabric
from cspn_tf.data.synthetic.skeleton import LegPose, Pose

CAMERA = look_at((0.0, 90.0, 0.0), 300.0).aimed(700.0, (150.0, 200.0), np.zeros((0, 5)))


def test_people_carry_something_now_and_then_and_it_is_unlabelled():
    rng = np.random.default_rng(5)
    figure = Figure(Build(), Pose())
    drawn = [props.draw_carried(rng, figure) for _ in range(80)]
    assert 30 < sum(not meshes for meshes in drawn) < 66
    for mesh in (mesh for meshes in drawn for mesh in meshes):
        assert mesh.owner == 0 and np.isfinite(mesh.points).all()
        assert np.abs(mesh.points[..., 0]).max() < 60


def test_handbags_hang_from_a_hand():
    figure = Figure(Build(), Pose())
    bag, strap = props._handbag(np.random.default_rng(0), figure, 1)
    wrist, tips = figure.skeleton.arms[1][2:]
    nearest = np.linalg.norm(strap.points.reshape(-1, 3) - (wrist + tips) / 2, axis=1).min()
    assert nearest < 1.5
    assert bag.points[..., 1].max() < tips[1] + 8


def test_only_who_sits_has_a_seat():
    lifted = LegPose(flex=1.4, bend=1.4)
    assert props.seat(np.random.default_rng(0), Figure(Build(), Pose())) == []
    assert props.seat(np.random.default_rng(0), Figure(Build(), Pose(legs=(lifted, LegPose())))) == []
    seat, *legs = props.seat(np.random.default_rng(0), Figure(Build(), Pose(legs=(lifted, lifted))))
    assert 70 < seat.points[..., 1].max() < 90 and len(legs) == 4


def test_what_covers_pixels_projects_to_them():
    patch = props.screen(CAMERA, (114, 74, 126, 86), 150.0, Fabric((1, 2, 3)))
    xy, depth = CAMERA.project(patch.points.reshape(-1, 3))
    np.testing.assert_allclose(xy.min(axis=0), (114, 74), atol=1e-6)
    np.testing.assert_allclose(xy.max(axis=0), (126, 86), atol=1e-6)
    np.testing.assert_allclose(depth, 150.0)


def test_foregrounds_are_rare_and_near_the_camera():
    rng = np.random.default_rng(5)
    drawn = [props.draw_foreground(rng, CAMERA, 300, 400) for _ in range(120)]
    assert 85 < sum(not meshes for meshes in drawn) < 118
    for mesh in (mesh for meshes in drawn for mesh in meshes):
        assert CAMERA.project(mesh.points.reshape(-1, 3))[1].max() < 200.0


def test_things_lie_beside_a_laid_out_garment_now_and_then():
    rng = np.random.default_rng(6)
    garment = make_top(rng, Figure(Build(), Pose(), flat=0.13), Fabric((9, 9, 9)), 1)
    counts = [len(props.draw_laid(rng, garment)) for _ in range(40)]
    assert 0 in counts and max(counts) == 2


def test_hangers_hold_tops_by_the_neck_and_bottoms_by_clips_beside_the_corners():
    figure = Figure(Build(), Pose(), flat=0.3)
    top = make_top(np.random.default_rng(7), figure, Fabric((9, 9, 9)), 1, kind="tee")
    hook, *arms = props.hanger(np.random.default_rng(7), figure, top)
    assert hook.points[..., 1].max() > top.points()[:, 1].max() and len(arms) == 2
    bottom = make_bottom(np.random.default_rng(7), figure, Fabric((9, 9, 9)), 1)
    *_, left, right = props.hanger(np.random.default_rng(7), figure, bottom)
    for clip in (left, right):
        assert bottom.keypoint(4)[0] < clip.points[..., 0].min() < clip.points[..., 0].max() < bottom.keypoint(5)[0]
