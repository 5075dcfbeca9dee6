"""Run as a process: train a tiny keypoint network for one epoch with plain SGD, and save its weights.

    python -m tests.train.sgd_epoch DATA OUT.npz STRATEGY BATCH_SIZE

With AdamW, whose first steps are the signs of the gradients, rounding alone changes the weights by some ten percent of
an epoch's update. With SGD, weights tell whether the gradients are the same. The head for garment types is left out:
its dropout differs between processes.
"""

import dataclasses
import sys

import keras
import numpy as np

from cspn_tf import config as configs
from cspn_tf.train import fitting
from cspn_tf.train.distribution import distribution_of
from cspn_tf.train.keypoints import KeypointTask


def main(data, out, strategy, batch_size):
    training = dataclasses.replace(configs.KEYPOINT_TRAINING["tiny"], batch_size=int(batch_size), epochs=1)
    config = configs.override(configs.preset("tiny"), ["keypoints.type_head=false"])
    run = fitting.Run(data_dir=data, config=config, training=training, strategy=strategy)
    distribution = distribution_of(strategy)
    fitting.build_optimizer = lambda *_: keras.optimizers.SGD(0.01)
    task = KeypointTask()
    model = task.compiled_model(run, task.num_steps(run))
    start = [variable.numpy() for variable in model.variables]
    history = model.fit(
        distribution.feed(task.batches(run, model)), epochs=1, steps_per_epoch=task.num_steps(run), verbose=0
    )
    end = [variable.numpy() for variable in model.variables]
    trainable = {variable.name for variable in model.trainable_variables}
    rows = zip(model.variables, start, end, strict=True)
    updates = {variable.name: last - first for variable, first, last in rows if variable.name in trainable}
    if distribution.is_chief:
        np.savez(
            out, loss=history.history["loss"], **{name.replace("/", "|"): value for name, value in updates.items()}
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
