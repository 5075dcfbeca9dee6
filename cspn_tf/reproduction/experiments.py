"""The experiments behind the paper's tables and figure, and the scales they run at."""

import dataclasses

# Table 1: the baselines in the paper's order; the paper mentions BCRNN but has no numbers for it.
BASELINES = {"fashionnet": "FashionNet", "dfa": "DFA", "dlan": "DLAN", "bcrnn": "BCRNN"}
CSPN, NCSPN = "cspn", "ncspn"
# Figure 6 and table 3; the CSPN itself has PAPER_STAGES.
STAGES = (1, 2, 3, 4, 5)
PAPER_STAGES = 4


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One keypoint network's configuration, trained once for each seed.

    Attributes:
        name: prefix of its directories' names.
        title: name in the report's tables.
        overrides: `field=value` overrides, applied after the scale's.
        flags: additional arguments of `train-keypoints`.
        derived: True if it is the trained CSPN with another config, which needs no training.
    """

    name: str
    title: str
    overrides: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    derived: bool = False


@dataclasses.dataclass(frozen=True)
class Scale:
    """Sizes of the networks and lengths of the trainings.

    Attributes:
        preset: the preset that overrides apply to.
        overrides: `field=value` overrides for all networks.
        baseline_overrides: additional overrides for the methods the paper compares with.
        detector_epochs, keypoint_epochs: passes over the training split.
    """

    preset: str
    overrides: tuple[str, ...]
    baseline_overrides: tuple[str, ...]
    detector_epochs: int
    keypoint_epochs: int


SCALES = {
    # CSPN as in the paper; the methods it compares with as in their own papers.
    "paper": Scale(
        preset="paper",
        overrides=(),
        # Heatmaps of a 224 pixel crop have 56 pixels, which is too coarse without sub-pixel decoding.
        baseline_overrides=(
            "keypoints.backbone=vgg16",
            "keypoints.crop_size=224",
            "keypoints.heatmap_sigma=1.5",
            "keypoints.subpixel=parabola",
        ),
        detector_epochs=20,
        keypoint_epochs=30,
    ),
    # One small backbone for all methods, pretrained and partly frozen: an hour or two on two cores for 5,000 photos.
    "cpu": Scale(
        preset="mobile",
        overrides=(
            "keypoints.crop_size=96",
            "keypoints.width=32",
            "keypoints.heatmap_sigma=1.0",
            "keypoints.frozen_level=2",
            "keypoints.visibility_head=false",
            "keypoints.type_head=false",
        ),
        baseline_overrides=(),
        detector_epochs=3,
        keypoint_epochs=3,
    ),
}

# Additions to the paper's method, each compared separately with the CSPN of the scale's preset.
BEYOND = (
    Experiment("subpixel-none", "sub-pixel decoding: none", ("keypoints.subpixel=none",), derived=True),
    Experiment("subpixel-parabola", "sub-pixel decoding: parabola", ("keypoints.subpixel=parabola",), derived=True),
    Experiment("subpixel-dark", "sub-pixel decoding: peak's shape", ("keypoints.subpixel=dark",), derived=True),
    Experiment("visibility", "visibility output", ("keypoints.visibility_head=true",)),
    Experiment("types", "garment type output", ("keypoints.type_head=true",)),
    Experiment("ema", "moving average of the weights", flags=("--ema-momentum", "0.99")),
    Experiment(
        "sigmas",
        "Gaussian size per keypoint",
        ("keypoints.sigma_factors=[0.8,0.8,1.2,1.2,1.0,1.0,1.2,1.2]",),
    ),
    Experiment("nearest", "lighter upsampling", ("keypoints.upsampling=nearest",)),
    Experiment("offsets", "offset head", ("keypoints.offset_head=true",)),
    Experiment("stage-weights", "later stages weigh more", ("keypoints.stage_weight_growth=1.5",)),
)


def paper_experiments(baseline_overrides=()) -> list[Experiment]:
    """Return the experiments that the paper's tables 1 to 3 and figure 6 need, for a scale's `baseline_overrides`."""
    baselines = [
        Experiment(name, title, (f"keypoints.method={name}", *baseline_overrides)) for name, title in BASELINES.items()
    ]
    stages = [
        Experiment(stages_name(num), f"{num} stages", (f"keypoints.num_stages={num}",))
        for num in STAGES
        if num != PAPER_STAGES
    ]
    ours = [Experiment(CSPN, "CSPN"), Experiment(NCSPN, "NCSPN", ("keypoints.region=photo",))]
    return [*ours, *baselines, *stages]


def stages_name(num_stages: int) -> str:
    """Return the name of the experiment with that number of stages."""
    return CSPN if num_stages == PAPER_STAGES else f"stages-{num_stages}"


# Fields that the experiments vary; users may not override them.
OWN_FIELDS = {text.partition("=")[0] for e in (*paper_experiments(), *BEYOND) for text in e.overrides}
