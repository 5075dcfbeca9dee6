"""Interface for what differs between the trainings of the two networks; the shared code is `cspn_tf.train.fitting`."""

import abc

from cspn_tf.config import Config, differences
from cspn_tf.console import UserError
from cspn_tf.data import pipeline
from cspn_tf.models import checkpoints
from cspn_tf.train import fitting
from cspn_tf.train.distribution import distribution_of


class Task(abc.ABC):
    """The training of one network: its model, datasets, losses and validation.

    Attributes:
        network: the network's name in `cspn_tf.models.checkpoints`.
        unit: what a batch consists of, "photos" or "garments".
        monitor: the validation metric that selects the best epoch; higher is better unless it is in
            `keypoint_metrics.LOWER_IS_BETTER`.
        validation_batch: examples in a validation batch.
    """

    network: str
    unit: str
    monitor: str
    validation_batch: int

    @abc.abstractmethod
    def build(self, config: Config, *, pretrained: bool):
        """Return the Keras model, with its backbone's pretrained weights if `pretrained`."""

    @abc.abstractmethod
    def dataset(self, data_dir, split, config: Config, batch_size, **options):
        """Return the batched dataset of a split, from `cspn_tf.data.pipeline`."""

    @abc.abstractmethod
    def validator(self, model, dataset, config: Config):
        """Return the object that evaluates the model on the validation split during training.

        Its `measure()` returns a dict of metrics, name to number or None. Its `overlays()` returns validation photos
        drawn with the predictions of the last `measure()`, uint8 `(n, H, W, 3)`.
        """

    def losses(self, run) -> dict:
        """Return the `loss` and `loss_weights` to compile the model with; empty if its losses are built in."""
        return {}

    def num_steps(self, run) -> int:
        """Return the number of batches in an epoch of a run.

        Raises:
            UserError: the data are missing, have no garments, or do not fill one batch.
        """
        pipeline.require_examples(run.data_dir, "train", what="garments")
        batch_size = run.training.batch_size * distribution_of(run.strategy).num_workers
        return pipeline.steps_per_epoch(run.data_dir, "train", batch_size, what=self.unit)

    def compiled_model(self, run, num_steps: int):
        """Return the model of a run: seeded, built, loaded with its initial weights, and compiled.

        Args:
            run: a `cspn_tf.train.fitting.Run`.
            num_steps: batches per epoch, for the learning-rate schedule.
        """
        with fitting.scope(run):
            model = self.build(run.config, pretrained=not run.init)
            if run.init:
                self._load_initial_weights(model, run)
            distribution_of(run.strategy).prepare(model)
            model.compile(fitting.build_optimizer(run.training, num_steps), **self.losses(run))
            create_training_variables(model)
        return model

    def _load_initial_weights(self, model, run):
        try:
            checkpoints.load_weights(model, run.init, self.network)
        except UserError as error:
            config, _ = checkpoints.read_description(run.init, self.network)
            theirs, ours = (getattr(either, self.network) for either in (config, run.config))
            different = differences(theirs, ours, f"{self.network}.")
            if not different:
                raise
            raise UserError(f"{error}; its config differs (its != this run's): {'; '.join(different)}") from error

    def batches(self, run, model, first_epoch: int = 0):
        """Return the infinite dataset for `model.fit`: this process's share of the batches of a run's training split.

        Args:
            run: a `cspn_tf.train.fitting.Run`.
            model: as returned by `compiled_model`.
            first_epoch: number of finished epochs, where the dataset starts.
        """
        distribution = distribution_of(run.strategy)
        of_run = {"seed": run.seed, "augment": run.training.augment, "first_epoch": first_epoch}
        of_run["share"] = (distribution.index, distribution.num_workers)
        return self.dataset(run.data_dir, "train", run.config, run.training.batch_size, training=True, **of_run)

    def validation(self, run):
        """Return the batches of a run's validation split.

        Raises:
            UserError: the split is empty.
        """
        pipeline.require_examples(run.data_dir, "val", what=self.unit)
        return self.dataset(run.data_dir, "val", run.config, self.validation_batch, training=False, seed=run.seed)


def create_training_variables(model) -> None:
    """Create the variables of a compiled model's optimizer and losses.

    If Keras created them while it traces the training step, the step would be traced a second time, and they would be
    missing when a state is restored.
    """
    model.optimizer.build(model.trainable_variables)
    model.optimizer._compute_current_learning_rate()
    if not model.compiled_loss.built:
        model.compiled_loss.build(model.output)
