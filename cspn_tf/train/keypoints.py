"""Trains the keypoint network, and measures it while it trains."""

import functools

# Validation crops in the overlays, and how many a batch of validation has.
_NUM_OVERLAYS = 8
_VALIDATION_BATCH = 32


def train(run) -> None:
    """Train the keypoint network of a `cspn_tf.train.fitting.Run`."""
    from cspn_tf.data import pipeline
    from cspn_tf.models.keypoint_networks import prediction_network
    from cspn_tf.train import fitting

    config = run.config.keypoints
    fitting.verify_data(run)
    steps = steps_of(run)
    validation = pipeline.keypoint_dataset(
        run.data_dir, "val", run.config, _VALIDATION_BATCH, training=False, seed=run.seed
    )
    model, make_dataset = prepare(run, steps)
    validator = KeypointValidator(prediction_network(model, config), validation, config)
    fitting.fit(run, model, make_dataset, steps, validator.measure, "ne_bbox", validator.overlays)


def steps_of(run) -> int:
    """Return how many batches an epoch of a run has."""
    from cspn_tf.data import pipeline

    return pipeline.steps_per_epoch(run.data_dir, "train", run.training.batch_size, what="garments")


def prepare(run, steps):
    """Return a run's compiled model, and the function of the first epoch's number that gives its batches.

    Args:
        run: a `cspn_tf.train.fitting.Run`.
        steps: batches an epoch.
    """
    from cspn_tf.data import pipeline
    from cspn_tf.losses import keypoint_losses
    from cspn_tf.models.keypoint_networks import build_keypoint_network
    from cspn_tf.train import fitting

    config = run.config.keypoints
    with fitting.scope(run):
        model = build_keypoint_network(config, pretrained=True)
        losses, weights = keypoint_losses(config, centres=pseudo_labels_of(run))
        model.compile(fitting.build_optimizer(run.training, steps), loss=losses, loss_weights=weights)

    def make_dataset(first_epoch):
        batches = fitting.training_batches(run, pipeline.keypoint_dataset, first_epoch)
        return batches.map(functools.partial(to_fit, names=list(losses)))

    return model, make_dataset


def pseudo_labels_of(run):
    """Return the cluster centres that the method's losses need, found in the training split's labels, or None."""
    if run.config.keypoints.method != "dfa":
        return None
    from cspn_tf.data import pipeline
    from cspn_tf.losses import pseudo_label_centres
    from cspn_tf.models.dfa import NUM_PSEUDO_LABELS

    labels = pipeline.label_configurations(run.data_dir, "train", run.config)
    return pseudo_label_centres(*labels, NUM_PSEUDO_LABELS, seed=run.seed)


def to_fit(batch, names):
    """Turn a batch of `pipeline.keypoint_dataset` into what `model.fit` takes: every output learns the same targets.

    Args:
        batch: dict with ``crops``, ``targets`` and ``visibility``.
        names: of the network's outputs.

    Returns:
        crops, and name to targets `(B, 8, 4)`, see `cspn_tf.losses`.
    """
    import tensorflow as tf

    visibility = tf.cast(batch["visibility"], tf.float32)[..., tf.newaxis]
    return batch["crops"], dict.fromkeys(names, tf.concat([batch["targets"], visibility], axis=-1))


class KeypointValidator:
    """Measures a network on a dataset of `pipeline.keypoint_dataset`, with labelled boxes, in photo pixels.

    Args:
        network: what `prediction_network` gives.
        dataset: the validation data.
        config: the network's `KeypointConfig`.
    """

    def __init__(self, network, dataset, config):
        import tensorflow as tf

        from cspn_tf.models.keypoint_networks import decode_prediction

        self._dataset, self._config = dataset, config
        # Weights stay variables, so the one traced function follows the training.
        self._predict = tf.function(
            lambda crops: decode_prediction(network(crops, training=False), config),
            reduce_retracing=True,
            autograph=False,
        )
        self._shown = []

    def measure(self) -> dict:
        """Return `ne_bbox`, `pck_02` and `epe`: name to number, or to None where there is nothing to measure."""
        import numpy as np

        from cspn_tf import geometry
        from cspn_tf.evaluation import keypoint_metrics as metrics

        fields = {"garment_types": [], "variations": [], "boxes_xyxy_photo": [], "keypoints_xy_photo": []}
        fields |= {"visibility": [], "predicted": []}
        self._shown = []
        for batch in self._dataset:
            keypoints_xy_crop, scores = self._predict(batch["crops"])
            on_canvas = geometry.crop_to_canvas(keypoints_xy_crop, batch["windows"], self._config.crop_size)
            batch = {**batch, "predicted": geometry.canvas_to_photo(on_canvas, batch["transforms"])}
            for name, parts in fields.items():
                parts.append(batch[name].numpy())
            missing = _NUM_OVERLAYS - len(self._shown)
            rows = (batch["crops"], batch["garment_types"], keypoints_xy_crop, scores)
            self._shown += list(zip(*(row[:missing].numpy() for row in rows), strict=True))
        fields = {name: np.concatenate(parts) for name, parts in fields.items()}
        garments = metrics.Garments(
            garment_types=fields["garment_types"],
            variations=fields["variations"],
            boxes_xyxy=fields["boxes_xyxy_photo"],
            keypoints_xy=fields["keypoints_xy_photo"],
            visibility=fields["visibility"],
            predicted_xy=fields["predicted"],
            matched=np.ones(len(fields["garment_types"]), bool),
        )
        return {name: metrics.KEYPOINT_METRICS[name](garments).value for name in ("ne_bbox", "pck_02", "epe")}

    def overlays(self):
        """Return the first validation crops with the keypoints found when they were last measured."""
        import numpy as np
        from PIL import Image

        from cspn_tf import drawing

        pictures = []
        for crop, garment_type, keypoints_xy, scores in self._shown:
            whole = [0, 0, crop.shape[1] - 1, crop.shape[0] - 1]
            photo = Image.fromarray(crop.clip(0, 255).astype("uint8"))
            drawn = drawing.draw_garments(
                photo, [whole], [garment_type], [1.0], keypoints_xy[None], scores[None].clip(1e-3, 1.0), scale=2.0
            )
            pictures.append(np.asarray(drawn))
        return np.stack(pictures)
