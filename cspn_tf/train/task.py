"""What differs between the trainings of the two networks; what they share is in `cspn_tf.train.fitting`."""

import abc

from cspn_tf.config import Config


class Task(abc.ABC):
    """The training of one network: how it is built, what it learns from, how it is measured.

    Attributes:
        network: which one, as `cspn_tf.models.checkpoints` names it.
        unit: what is counted in its batches, "photos" or "garments".
        monitor: the validation metric that tells which epoch was best; higher is better unless it begins with "ne_".
        validation_batch: examples in a batch of validation.
    """

    network: str
    unit: str
    monitor: str
    validation_batch: int

    @abc.abstractmethod
    def build(self, config: Config, *, pretrained: bool):
        """Return the Keras model; with its backbone's initial weights if `pretrained`."""

    @abc.abstractmethod
    def dataset(self, data_dir, split, config: Config, batch_size, **options):
        """Return the dataset of a split in batches, as the functions of `cspn_tf.data.pipeline` do."""

    @abc.abstractmethod
    def validator(self, model, dataset, config: Config):
        """Return what measures the model on the validation split while it trains.

        It has `measure()`, a dict of metrics, name to number or None; and `overlays()`, validation photos with what
        was found when they were last measured, uint8 `(n, H, W, 3)`.
        """

    def losses(self, run) -> dict:
        """Return the `loss` and `loss_weights` to compile the model with; nothing for one that has its own."""
        return {}

    def num_steps(self, run) -> int:
        """Return how many batches an epoch of a run has.

        Raises:
            UserError: if the data are missing or do not fill one batch.
        """
        from cspn_tf.data import pipeline

        return pipeline.steps_per_epoch(run.data_dir, "train", run.training.batch_size, what=self.unit)

    def compiled_model(self, run, num_steps: int):
        """Return the model that a run trains: seeded, built, given the weights to start from, and compiled.

        Args:
            run: a `cspn_tf.train.fitting.Run`.
            num_steps: batches an epoch, by which the learning rate changes.
        """
        from cspn_tf.models import checkpoints
        from cspn_tf.train import fitting

        with fitting.scope(run):
            model = self.build(run.config, pretrained=not run.init)
            if run.init:
                checkpoints.load_weights(model, run.init, self.network)
            model.compile(fitting.build_optimizer(run.training, num_steps), **self.losses(run))
        return model

    def batches(self, run, model, first_epoch: int = 0):
        """Return what `model.fit` takes: the endless batches of a run's training split from an epoch on.

        Args:
            run: a `cspn_tf.train.fitting.Run`.
            model: what `compiled_model` gives.
            first_epoch: how many epochs are finished.
        """
        of_run = {"seed": run.seed, "augment": run.training.augment, "first_epoch": first_epoch}
        return self.dataset(run.data_dir, "train", run.config, run.training.batch_size, training=True, **of_run)

    def validation(self, run):
        """Return the batches of a run's validation split."""
        return self.dataset(run.data_dir, "val", run.config, self.validation_batch, training=False, seed=run.seed)
