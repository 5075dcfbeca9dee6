"""Answer photos with an exported model in a TensorFlow of any version, without this package.

python answer.py v1|function MODEL_DIR OUT.npz PHOTO...
python answer.py tflite|litert|compiled FILE.tflite OUT.npz CANVASES.npy NUM_THREADS
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


def by_interpreter(make, path, canvases, num_threads):
    """Answer canvases, uint8 `(B, S, S, 3)`, one by one."""
    runner = make(path, num_threads=num_threads).get_signature_runner()
    return stacked([runner(image=canvas[np.newaxis]) for canvas in canvases])


def by_compiled_model(path, canvases, num_threads):
    """Answer canvases by LiteRT's `CompiledModel`."""
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.cpu_options import CpuOptions
    from ai_edge_litert.options import Options

    options = Options(cpu_options=CpuOptions(num_threads=num_threads))
    model = CompiledModel.from_file(path, options=options)
    (name,) = model.get_signature_list()
    details = model.get_output_tensor_details(name)
    image = model.create_input_buffer_by_name(name, "image")
    buffers = {output: model.create_output_buffer_by_name(name, output) for output in details}

    def answer(canvas):
        image.write(np.ascontiguousarray(canvas[np.newaxis]))
        model.run_by_name(name, {"image": image}, buffers)
        return {output: value(buffers[output], **detail) for output, detail in details.items()}

    def value(buffer, shape, dtype, **_):
        return buffer.read(int(np.prod(shape)), np.dtype(dtype)).reshape(shape)

    answers = [answer(canvas) for canvas in canvases]
    return stacked(answers)


def stacked(answers):
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


def by_tflite_file(way, path, canvases, num_threads):
    if way == "compiled":
        return by_compiled_model(path, canvases, num_threads)
    if way == "tflite":
        import tensorflow as tf

        make = tf.lite.Interpreter
    else:
        from ai_edge_litert.interpreter import Interpreter as make
    return by_interpreter(make, path, canvases, num_threads)


def main(way, model, out, *files):
    if way in ("tflite", "litert", "compiled"):
        outputs = by_tflite_file(way, model, np.load(files[0]), int(files[1]))
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
