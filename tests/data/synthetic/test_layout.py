from collections import Counter

import numpy as np
import pytest

from cspn_tf.data.synthetic.labels import inside
from cspn_tf.data.synthetic.layout import (
    GARMENT_TYPE_SHARES,
    VARIATION_SHARES,
    ZOOMS,
    check_variation_shares,
    compose,
    draw_layout,
)
from cspn_tf.garments import KEYPOINT_SLOTS, GarmentType, Variation


@pytest.fixture(scope="module")
def layouts():
    return [draw_layout(np.random.default_rng([3, index]), 512) for index in range(1500)]


def keypoints_xy(plan, number=0):
    garment = plan.garments[number]
    return plan.camera.project(np.stack([garment.keypoint(slot) for slot in garment.keypoints]))[0]


def test_variations_types_and_settings_come_in_their_shares(layouts):
    variations = Counter(layout.variation for layout in layouts)
    types = Counter(layout.groups[0][0] for layout in layouts)
    for variation, share in VARIATION_SHARES.items():
        assert variations[variation] / len(layouts) == pytest.approx(share, abs=0.04)
    for garment_type, share in GARMENT_TYPE_SHARES.items():
        assert types[garment_type] / len(layouts) == pytest.approx(share, abs=0.04)
    settings = Counter(layout.setting for layout in layouts)
    assert settings["worn"] / len(layouts) == pytest.approx(0.78, abs=0.04)
    assert min(settings["laid"], settings["hanger"]) / len(layouts) > 0.04


def test_shares_of_variations_can_be_given():
    shares = {Variation.LARGE_POSE: 3.0, Variation.LARGE_ZOOM_IN: 1.0}
    drawn = Counter(draw_layout(np.random.default_rng([1, k]), 512, None, shares).variation for k in range(800))
    assert set(drawn) == set(shares)
    assert drawn[Variation.LARGE_POSE] / 800 == pytest.approx(0.75, abs=0.05)


@pytest.mark.parametrize(
    "bad",
    [{}, {Variation.UNKNOWN: 1.0}, {Variation.NORMAL_POSE: -1.0}, {Variation.NORMAL_POSE: 0.0}],
)
def test_shares_that_make_no_sense_are_refused(bad):
    with pytest.raises(ValueError, match=r"variation_shares.*Received"):
        check_variation_shares(bad)


def test_photos_are_mostly_portrait_and_never_longer_than_the_size(layouts):
    assert max(max(layout.width, layout.height) for layout in layouts) == 512
    assert np.mean([layout.height > layout.width for layout in layouts]) > 0.6
    assert any(layout.width > layout.height for layout in layouts)
    assert any(layout.width == layout.height for layout in layouts)
    smaller = np.mean([max(layout.width, layout.height) < 512 for layout in layouts])
    assert smaller == pytest.approx(0.2, abs=0.04)


def test_one_garment_is_labelled_unless_more_are_asked_for(layouts):
    assert all(layout.groups == ((layout.groups[0][0],),) for layout in layouts)
    for count in (1, 2, 3, 6):
        for seed in range(30):
            layout = draw_layout(np.random.default_rng(seed), 512, count)
            assert sum(len(group) for group in layout.groups) == count


def test_whole_outfits_are_made_of_labelled_garments_only():
    for seed in range(12):
        rng = np.random.default_rng(seed)
        layout = draw_layout(rng, 256, 1 + seed % 4)
        if layout.setting == "worn":
            assert {(GarmentType.UPPER_BODY, GarmentType.LOWER_BODY), (GarmentType.FULL_BODY,)} >= set(layout.groups)
        plan = compose(rng, layout, (9, 9, 9))
        cloth = [mesh for garment in plan.garments for mesh in garment.meshes]
        assert len(plan.garments) == 1 + seed % 4
        # Whatever else there is has no inside: skin, hair, shoes; or is hair and boots, which do.
        others = [m for m in plan.meshes if not any(m is own for own in cloth)]
        assert all(mesh.owner == 0 for mesh in others)
        owners = [mesh.owner for mesh in cloth]
        assert set(owners) == set(range(1, len(plan.garments) + 1))


@pytest.mark.parametrize("variation", list(VARIATION_SHARES))
def test_only_zoom_ins_cut_keypoints_off(layouts, variation):
    cuts = []
    for index, layout in enumerate(layouts):
        if layout.variation != variation or len(cuts) >= 16:
            continue
        plan = compose(np.random.default_rng(index), layout, (128, 128, 128))
        points = keypoints_xy(plan)
        assert len(points) == len(KEYPOINT_SLOTS[plan.garments[0].garment_type])
        cuts.append(1.0 - inside(points, layout.width, layout.height).mean())
    if variation in ZOOMS:
        assert np.mean(cuts) > (0.3 if variation == Variation.LARGE_ZOOM_IN else 0.12)
        assert np.mean(np.array(cuts) > 0) > 0.8
        assert max(cuts) < 1.0
    else:
        assert max(cuts) == 0.0


def test_zoom_ins_of_several_garments_keep_two_keypoints_of_each():
    shares = {Variation.MEDIUM_ZOOM_IN: 1.0}
    for seed in range(8):
        rng = np.random.default_rng(seed)
        layout = draw_layout(rng, 256, 2, shares)
        plan = compose(rng, layout, (9, 9, 9))
        for number in range(2):
            assert inside(keypoints_xy(plan, number), layout.width, layout.height).sum() >= 2


def test_the_labelled_garment_is_prominent(layouts):
    shares = []
    for index, layout in enumerate(layouts[:90]):
        if layout.variation in ZOOMS:
            continue
        plan = compose(np.random.default_rng(index), layout, (128, 128, 128))
        shares.append((np.ptp(keypoints_xy(plan), axis=0) / (layout.width, layout.height)).max())
    assert np.median(shares) > 0.4
    assert np.min(shares) > 0.12


def test_joints_and_feet_are_planned_for_people_only(layouts):
    worn = next(layout for layout in layouts if layout.setting == "worn")
    laid = next(layout for layout in layouts if layout.setting == "laid")
    person = compose(np.random.default_rng(0), worn, (9, 9, 9))
    flat = compose(np.random.default_rng(0), laid, (9, 9, 9))
    assert person.joints_xy.shape == (14, 2) and person.feet_xy.shape == (2, 2) and person.floor_depth is None
    assert flat.joints_xy is None and flat.feet_xy.shape == (0, 2) and flat.floor_depth > flat.camera.distance
