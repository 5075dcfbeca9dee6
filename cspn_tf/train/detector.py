"""Trains the garment detector, and measures it while it trains."""

# Validation photos in the overlays, and how many a batch of validation has.
_NUM_OVERLAYS = 8
_VALIDATION_BATCH = 16


def train(run) -> None:
    """Train the detector of a `cspn_tf.train.fitting.Run`."""
    from cspn_tf.data import pipeline
    from cspn_tf.train import fitting

    fitting.verify_data(run)
    steps = steps_of(run)
    validation = pipeline.detector_dataset(
        run.data_dir, "val", run.config, _VALIDATION_BATCH, training=False, seed=run.seed
    )
    model, make_dataset = prepare(run, steps)
    validator = DetectorValidator(model, validation)
    fitting.fit(run, model, make_dataset, steps, validator.measure, "ap_50", validator.overlays)


def steps_of(run) -> int:
    """Return how many batches an epoch of a run has."""
    from cspn_tf.data import pipeline

    return pipeline.steps_per_epoch(run.data_dir, "train", run.training.batch_size, what="photos")


def prepare(run, steps):
    """Return a run's compiled model, and the function of the first epoch's number that gives its batches.

    Args:
        run: a `cspn_tf.train.fitting.Run`.
        steps: batches an epoch.
    """
    from cspn_tf.data import pipeline
    from cspn_tf.models.faster_rcnn import build_detector
    from cspn_tf.train import fitting

    with fitting.scope(run):
        model = build_detector(run.config.detector, pretrained=True)
        model.compile(fitting.build_optimizer(run.training, steps))

    def make_dataset(first_epoch):
        return fitting.training_batches(run, pipeline.detector_dataset, first_epoch)

    return model, make_dataset


class DetectorValidator:
    """Measures a detector on a dataset of `pipeline.detector_dataset`, in the pixels of its input."""

    def __init__(self, model, dataset):
        import tensorflow as tf

        self._dataset = dataset
        # Weights stay variables, so the one traced function follows the training.
        self._detect = tf.function(model.detect, reduce_retracing=True, autograph=False)
        self._shown = []

    def measure(self) -> dict:
        """Return average precision and recall: name to number, or to None where there is nothing to measure."""
        from cspn_tf.evaluation import measures as evaluation

        truths, predictions = [], []
        self._shown = []
        for images, labels in self._dataset:
            outputs = [part.numpy() for part in self._detect(images)]
            for index in range(len(images)):
                truth = _truth(labels["boxes_xyxy"][index].numpy(), labels["garment_types"][index].numpy())
                prediction = _prediction(*(part[index] for part in outputs))
                truths.append(truth)
                predictions.append(prediction)
                if len(self._shown) < _NUM_OVERLAYS:
                    self._shown.append((images[index].numpy(), prediction))
        scores = evaluation.evaluate_predictions(truths, predictions)
        return {
            "ap": scores["detection"]["ap"],
            "ap_50": scores["detection"]["ap_50"],
            "recall_50": scores["detection_recall_50"]["value"],
            "precision_50": scores["precision_50"]["value"],
        }

    def overlays(self):
        """Return the first validation photos with what was found when they were last measured."""
        import numpy as np
        from PIL import Image

        from cspn_tf import drawing

        pictures = []
        for pixels, found in self._shown:
            photo = Image.fromarray(pixels.clip(0, 255).astype("uint8"))
            drawn = drawing.draw_garments(
                photo, found.boxes_xyxy, found.garment_types, found.scores, found.keypoints_xy, found.keypoint_scores
            )
            pictures.append(np.asarray(drawn))
        return np.stack(pictures)


def _truth(boxes_xyxy, garment_types):
    import numpy as np

    from cspn_tf.evaluation.measures import PhotoTruth
    from cspn_tf.garments import NUM_KEYPOINTS

    real = garment_types > 0
    num = int(real.sum())
    return PhotoTruth(
        name="",
        garment_types=garment_types[real],
        variations=np.zeros(num, int),
        boxes_xyxy=boxes_xyxy[real],
        keypoints_xy=np.zeros((num, NUM_KEYPOINTS, 2)),
        visibility=np.zeros((num, NUM_KEYPOINTS), int),
    )


def _prediction(boxes_xyxy, garment_types, scores):
    import numpy as np

    from cspn_tf.evaluation.measures import PhotoPrediction
    from cspn_tf.garments import NUM_KEYPOINTS

    real = garment_types > 0
    num = int(real.sum())
    return PhotoPrediction(
        garment_types=garment_types[real],
        scores=scores[real],
        boxes_xyxy=boxes_xyxy[real],
        keypoints_xy=np.zeros((num, NUM_KEYPOINTS, 2)),
        keypoint_scores=np.zeros((num, NUM_KEYPOINTS)),
    )
