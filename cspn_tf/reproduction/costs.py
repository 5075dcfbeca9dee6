"""What networks cost: parameters, operations, and milliseconds beside each other in one run."""

import functools
import gc
import time

import numpy as np

from cspn_tf.methods import method_of
from cspn_tf.timing import measure_in_turns

# Steps of a training that are timed, after those in which TensorFlow still traces and allocates.
_WARMUP_STEPS, _TIMED_STEPS = 3, 5
NUM_REPEATS = 30


def num_parameters(network) -> int:
    """Return the number of weights of a Keras model, statistics of batch normalisation left out."""
    return int(sum(np.prod(variable.shape) for variable in network.variables if "moving_" not in variable.name))


def num_flops(network) -> int:
    """Return the floating-point operations of one example; a multiplication with its addition counts as two."""
    return num_flops_of(lambda inputs: network(inputs, training=False), [1, *network.input_shape[1:]])


def num_flops_of(function, shape) -> int:
    """Return the floating-point operations of a function of one float32 tensor of a static shape, as `num_flops`."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2_as_graph
    from tensorflow.python.profiler import model_analyzer, option_builder

    from cspn_tf.quiet import quiet_native_output

    concrete = tf.function(function, autograph=False).get_concrete_function(tf.TensorSpec(shape, tf.float32))
    _, graph_def = convert_variables_to_constants_v2_as_graph(concrete)
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(graph_def, name="")
        options = option_builder.ProfileOptionBuilder(option_builder.ProfileOptionBuilder.float_operation())
        with quiet_native_output():
            profile = model_analyzer.profile(graph, cmd="op", options=options.with_empty_output().build())
    return int(profile.total_float_ops)


def training_seconds(config, training, data) -> float:
    """Return the seconds that one garment takes in training, with its photo's reading, by a few steps.

    Args:
        config: a `Config`.
        training: a `TrainingConfig`.
        data: folder that `prepare` wrote.
    """
    import keras

    from cspn_tf.train.fitting import Run
    from cspn_tf.train.keypoints import KeypointTask

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
    """Measure trained keypoint networks, alone and behind the detector, in turns in this process.

    Args:
        keypoints_dirs: name to training directory.
        detector_dir: the detector's training directory.
        data: folder that `prepare` wrote; the photo is the first of its test split with one garment found, or
            its last.

    Returns:
        A JSON-ready dict: num_repeats; networks, name to
            parameters: weights of what inference needs
            flops: of one crop, a multiplication with its addition counts as two
            network_ms: median of one crop through the network
            photo_ms: median from the photo's bytes to keypoints in its pixels, with the detector
    """
    import tensorflow as tf

    from cspn_tf.evaluation.inputs import Photos
    from cspn_tf.inference.pipeline import GarmentPipeline
    from cspn_tf.models import checkpoints

    detector_config, detector = checkpoints.load_detector(detector_dir)
    costs, alone, whole = {}, {}, {}
    photo = None
    for name, directory in keypoints_dirs.items():
        config, trained = checkpoints.load_keypoints(directory)
        network = method_of(config.keypoints).prediction_network(trained)
        costs[name] = {"parameters": num_parameters(network), "flops": num_flops(network)}
        pipeline = GarmentPipeline(checkpoints.joint_config(detector_config, config), detector, trained)
        photo = photo if photo is not None else _photo_with_garment(pipeline, Photos(data, "test"))
        crop = tf.random.stateless_uniform([1, *network.input_shape[1:]], [1, 0], 0.0, 255.0)
        call = tf.function(functools.partial(network, training=False), autograph=False)
        alone[name] = functools.partial(_wait, call, crop)
        whole[name] = functools.partial(_wait, pipeline.serve, photo)
    for key, functions in (("network_ms", alone), ("photo_ms", whole)):
        for name, timing in measure_in_turns(functions, NUM_REPEATS).items():
            costs[name][key] = timing.median
    return {"num_repeats": NUM_REPEATS, "networks": costs}


def _photo_with_garment(pipeline, photos):
    import tensorflow as tf

    for photo in photos:
        image_bytes = tf.constant([photo.photo_bytes])
        if int(pipeline.serve(image_bytes)["num_garments"][0]) == 1:
            break
    return image_bytes


def _wait(function, argument):
    """Call a function and wait for its answer."""
    return [value.numpy() for value in function(argument).values()]
