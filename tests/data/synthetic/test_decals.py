import numpy as np

from cspn_tf.data.synthetic.decals import contrasting, draw_bottom, draw_face, draw_top
from cspn_tf.data.synthetic.fabric import Fabric, colour_distance

GREEN = Fabric((60, 160, 90))


def test_faces_have_two_dark_eyes_of_equal_height():
    face = draw_face(np.random.default_rng(2), (230, 190, 160), (30, 20, 20))
    left, right = face.at(np.array([-3.5, 3.5]), np.array([18.0, 18.0]))
    assert left[:3].max() < 80 and right[:3].max() < 80
    assert face.at(np.array([0.0]), np.array([12.0]))[0, 3] == 0.0


def test_shirts_have_a_row_of_buttons_in_the_middle():
    shirt = draw_top(np.random.default_rng(0), GREEN, kind="shirt", neck_drop=8.0, waist=35.0, length=60.0, reach=21.0)
    column = shirt.at(np.zeros(500), np.linspace(9.0, 58.0, 500))[:, 3]
    edges = np.flatnonzero(np.diff((column > 0.5).astype(int)) == 1)
    assert 3 <= len(edges) <= 9


def test_plain_tops_may_have_nothing_on_them():
    drawn = [
        draw_top(np.random.default_rng(seed), GREEN, kind="tank", neck_drop=8.0, waist=35.0, length=60.0, reach=21.0)
        for seed in range(30)
    ]
    assert 5 < sum(decal is None for decal in drawn) < 25


def test_bottoms_have_a_waistband_all_around():
    decal = draw_bottom(np.random.default_rng(1), GREEN, kind="trousers", crotch=24.0, length=30.0, reach=22.0)
    for u in np.linspace(-43.0, 43.0, 15):
        assert decal.at(np.full(60, u), np.linspace(2.0, 5.0, 60))[:, 3].max() > 0.5


def test_prints_stand_off_from_the_cloth():
    rng = np.random.default_rng(0)
    for colour in ((10, 10, 10), (128, 128, 128), (240, 240, 240)):
        assert colour_distance(contrasting(rng, colour), colour) > 70
