"""Answer photos with an exported model in a TensorFlow of any version, without this package.

python answer.py v1|function MODEL_DIR OUT.npz PHOTO...
python answer.py litert FILE.tflite OUT.npz CANVASES.npy
"""

import sys

import numpy as np


def by_session(model_dir, photos):
    """Answer as TF Serving does: a v1 session over the names of the signature."""
    import tensorflow as tf

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta = tf.compat.v1.saved_model.loader.load(session, ["serve"], model_dir)
        signature = meta.signature_def["serving_default"]
        names = {name: info.name for name, info in signature.outputs.items()}
        return session.run(names, {signature.inputs["image_bytes"].name: photos})


def by_function(model_dir, photos):
    """Answer by the signature as a `tf.function`."""
    import tensorflow as tf

    model = tf.saved_model.load(model_dir)
    outputs = model.signatures["serving_default"](image_bytes=tf.constant(photos))
    return {name: value.numpy() for name, value in outputs.items()}


def by_litert(path, canvases):
    """Answer canvases, uint8 `(B, S, S, 3)`, one by one."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(path, num_threads=2).get_signature_runner()
    answers = [runner(image=canvas[np.newaxis]) for canvas in canvases]
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


def main(way, model, out, *files):
    if way == "litert":
        outputs = by_litert(model, np.load(files[0]))
    else:
        photos = []
        for path in files:
            with open(path, "rb") as file:
                photos.append(file.read())
        outputs = {"v1": by_session, "function": by_function}[way](model, photos)
    np.savez(out, **outputs)
    loaded = [name for name in sys.modules if name.split(".")[0] in ("cspn_tf", "keras_cv", "tensorflow_addons")]
    assert not loaded, loaded


if __name__ == "__main__":
    main(*sys.argv[1:])
