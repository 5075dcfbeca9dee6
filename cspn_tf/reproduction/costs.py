"""Costs of networks: parameters, operations, and latencies measured side by side in one run."""

import functools
import gc
import time

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2_as_graph
from tensorflow.python.profiler import model_analyzer, option_builder

from cspn_tf.evaluation.inputs import Photos
from cspn_tf.inference.pipeline import GarmentPipeline
from cspn_tf.methods import method_of
from cspn_tf.models import checkpoints
from cspn_tf.quiet import quiet_native_output
from cspn_tf.timing import measure_in_turns
from cspn_tf.train.fitting import Run
from cspn_tf.train.keypoints import KeypointTask

# Untimed warm-up steps, in which TensorFlow traces and allocates, and timed steps of a training.
_WARMUP_STEPS, _TIMED_STEPS = 3, 5
NUM_REPEATS = 30


def num_parameters(network) -> int:
    """Return the number of weights of a Keras model, without batch-normalisation statistics."""
    return int(sum(np.prod(variable.shape) for variable in network.variables if "moving_" not in variable.name))


def num_flops_of(function, shape) -> int:
    """Return the floating-point operations of a function of one float32 tensor; a multiply-add counts as two."""
    concrete = tf.function(function, autograph=False).get_concrete_function(tf.TensorSpec(shape, tf.float32))
    _, graph_def = convert_variables_to_constants_v2_as_graph(concrete)
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(graph_def, name="")
        options = option_builder.ProfileOptionBuilder(option_builder.ProfileOptionBuilder.float_operation())
        with quiet_native_output():
            profile = model_analyzer.profile(graph, cmd="op", options=options.with_empty_output().build())
    return int(profile.total_float_ops)


def training_seconds(config, training, data) -> float:
    """Measure the training time of one garment in seconds, including reading its photo, over a few steps.

    Args:
        config: a `Config`.
        training: a `TrainingConfig`.
        data: directory that `prepare` wrote.
    """
    task, run = KeypointTask(), Run(data, config, training)
    model = task.compiled_model(run, num_steps=1000)
    batches = iter(task.batches(run, model))
    model.fit(batches, steps_per_epoch=_WARMUP_STEPS, verbose=0)
    start = time.perf_counter()
    model.fit(batches, steps_per_epoch=_TIMED_STEPS, verbose=0)
    seconds = (time.perf_counter() - start) / (_TIMED_STEPS * training.batch_size)
    keras.backend.clear_session()
    gc.collect()
    return seconds


def measure(keypoints_dirs: dict, detector_dir, data) -> dict:
    """Measure trained keypoint networks, alone and behind the detector, interleaved in this process.

    Args:
        keypoints_dirs: name to training directory.
        detector_dir: the detector's training directory.
        data: directory that `prepare` wrote. The photo measured is the first of the test split with exactly one
            detected garment, or else its last photo.

    Returns:
        A JSON-ready dict: num_repeats; networks, name to
            parameters: number of weights that inference needs
            flops: of one crop; a multiply-add counts as two
            network_ms: median time of one crop through the network
            photo_ms: median time from the photo's bytes to keypoints in its pixels, including the detector
    """
    detector_config, detector = checkpoints.load_detector(detector_dir)
    costs, alone, whole = {}, {}, {}
    photo = None
    for name, directory in keypoints_dirs.items():
        config, trained = checkpoints.load_keypoints(directory)
        network = method_of(config.keypoints).prediction_network(trained)
        shape = [1, *network.input_shape[1:]]
        call = functools.partial(network, training=False)
        costs[name] = {"parameters": num_parameters(network), "flops": num_flops_of(call, shape)}
        pipeline = GarmentPipeline(checkpoints.joint_config(detector_config, config), detector, trained)
        photo = photo if photo is not None else _photo_with_garment(pipeline, Photos(data, "test"))
        crop = tf.random.stateless_uniform(shape, [1, 0], 0.0, 255.0)
        alone[name] = functools.partial(_wait, tf.function(call, autograph=False), crop)
        whole[name] = functools.partial(_wait, pipeline.serve, photo)
    for key, functions in (("network_ms", alone), ("photo_ms", whole)):
        for name, timing in measure_in_turns(functions, NUM_REPEATS).items():
            costs[name][key] = timing.median
    return {"num_repeats": NUM_REPEATS, "networks": costs}


def _photo_with_garment(pipeline, photos):
    for photo in photos:
        image_bytes = tf.constant([photo.photo_bytes])
        if int(pipeline.serve(image_bytes)["num_garments"][0]) == 1:
            break
    return image_bytes


def _wait(function, argument):
    """Call a function and convert its outputs to NumPy, which waits for them."""
    return [value.numpy() for value in function(argument).values()]
