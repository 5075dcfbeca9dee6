"""What has to be trained for the paper's tables and figure, at which scale."""

import dataclasses

# Table 1: the methods in the paper's order, ours last; BCRNN the paper only names.
BASELINES = {"fashionnet": "FashionNet", "dfa": "DFA", "dlan": "DLAN", "bcrnn": "BCRNN"}
CSPN, NCSPN = "cspn", "ncspn"
# Figure 6 and table 3: the CSPN itself has four.
STAGES = (1, 2, 3, 4, 5)
PAPER_STAGES = 4


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One way of finding keypoints, trained once for each seed.

    Attributes:
        name: what its folders are called.
        title: what it is called in tables.
        overrides: `field=value` texts on top of the scale's.
        flags: further arguments of `train-keypoints`.
        derived: whether it is the trained CSPN with another config, and takes no training of its own.
    """

    name: str
    title: str
    overrides: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    derived: bool = False


@dataclasses.dataclass(frozen=True)
class Scale:
    """How large everything is.

    Attributes:
        preset: where the config starts.
        overrides: `field=value` texts for all networks.
        baseline_overrides: further ones for the methods the paper compares with.
        detector_epochs, keypoint_epochs: passes over the training split.
        num_seeds: trainings of each experiment.
    """

    preset: str
    overrides: tuple[str, ...]
    baseline_overrides: tuple[str, ...]
    detector_epochs: int
    keypoint_epochs: int
    num_seeds: int


SCALES = {
    # The paper's networks as they are; those it compares with as their own papers have them.
    "paper": Scale(
        preset="paper",
        overrides=(),
        # At a quarter of 224 pixels a heatmap's own pixels are too coarse to be the answer.
        baseline_overrides=(
            "keypoints.backbone=vgg16",
            "keypoints.crop_size=224",
            "keypoints.heatmap_sigma=1.5",
            "keypoints.subpixel=parabola",
        ),
        detector_epochs=20,
        keypoint_epochs=30,
        num_seeds=3,
    ),
    # One small backbone for all, pretrained and partly frozen: an hour or two on two cores for 5,000 photos.
    "cpu": Scale(
        preset="mobile",
        overrides=(
            "keypoints.crop_size=96",
            "keypoints.width=32",
            "keypoints.heatmap_sigma=1.0",
            "keypoints.frozen_level=2",
            "keypoints.visibility_head=false",
        ),
        baseline_overrides=(),
        detector_epochs=3,
        keypoint_epochs=3,
        num_seeds=3,
    ),
}

# What goes beyond the paper, each by itself against the CSPN of the scale's preset.
BEYOND = (
    Experiment("subpixel-none", "sub-pixel decoding: none", ("keypoints.subpixel=none",), derived=True),
    Experiment("subpixel-parabola", "sub-pixel decoding: parabola", ("keypoints.subpixel=parabola",), derived=True),
    Experiment("subpixel-dark", "sub-pixel decoding: peak's shape", ("keypoints.subpixel=dark",), derived=True),
    Experiment("visibility", "visibility output", ("keypoints.visibility_head=true",)),
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


# What the experiments themselves vary: nobody else may set it.
OWN_FIELDS = tuple(
    f"keypoints.{name}"
    for name in (
        *("method", "region", "num_stages", "subpixel", "visibility_head", "sigma_factors", "upsampling"),
        *("offset_head", "stage_weight_growth"),
    )
)


def paper_experiments(scale: Scale) -> list[Experiment]:
    """Return the experiments that the paper's tables 1 to 3 and figure 6 need."""
    baselines = [
        Experiment(name, title, (f"keypoints.method={name}", *scale.baseline_overrides))
        for name, title in BASELINES.items()
    ]
    stages = [
        Experiment(stages_name(num), f"{num} stages", (f"keypoints.num_stages={num}",))
        for num in STAGES
        if num != PAPER_STAGES
    ]
    ours = [Experiment(CSPN, "CSPN"), Experiment(NCSPN, "NCSPN", ("keypoints.region=photo",))]
    return [*ours, *baselines, *stages]


def stages_name(num_stages: int) -> str:
    """Return the name of the experiment with so many stages."""
    return CSPN if num_stages == PAPER_STAGES else f"stages-{num_stages}"
