import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from cspn_tf.console import UserError
from cspn_tf.serve.grpc_server import LocalServer
from cspn_tf.serve.servable import Servable
from tests.fake_model import encode, expected_outputs, export_fake_model, make_pixels

STATES = get_model_status_pb2.ModelVersionStatus
TIMEOUT = 60


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(server.address) as channel:
        yield channel


@pytest.fixture(scope="module")
def prediction(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def model_service(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)


def make_request(photos, name="cspn", signature="serving_default", version=None, label=None):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(photos, tf.string, [len(photos)]))
    return request


def refuse(method, request):
    with pytest.raises(grpc.RpcError) as caught:
        method(request, timeout=TIMEOUT)
    return caught.value.code(), caught.value.details()


def test_predict_answers_a_bad_photo_beside_a_good_one(prediction):
    pixels = make_pixels(41, 53)
    response = prediction.Predict(make_request([b"no photo", encode(pixels)]), timeout=TIMEOUT)
    for name, expected in expected_outputs(pixels).items():
        bad, good = tf.make_ndarray(response.outputs[name])
        np.testing.assert_allclose(good, expected, rtol=1e-5, err_msg=name)
        assert np.all(bad == (1 if name == "status" else 0))
    assert response.model_spec.version.value == 1


def test_a_request_of_more_than_four_megabytes_is_answered(prediction):
    photos = [b"x" * 2**20] * 6
    response = prediction.Predict(make_request(photos), timeout=TIMEOUT)
    assert tf.make_ndarray(response.outputs["status"]).tolist() == [1] * 6


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        ({"name": "shoes"}, "NOT_FOUND", "Servable not found for request: Latest(shoes)"),
        ({"version": 7}, "NOT_FOUND", "Servable not found for request: Specific(cspn, 7)"),
        ({"name": ""}, "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        ({"label": "stable"}, "INVALID_ARGUMENT", "Unrecognized servable version label: stable"),
        ({"signature": "faces"}, "FAILED_PRECONDITION", 'Serving signature key "faces" not found.'),
    ],
)
def test_wrong_requests_get_tf_servings_code_and_words(prediction, spec, code, message):
    received = refuse(prediction.Predict, make_request([b"x"], **spec))
    assert received[0].name == code
    assert received[1].startswith(message)


def test_the_version_may_be_named(prediction):
    response = prediction.Predict(make_request([b"x"], version=1), timeout=TIMEOUT)
    assert response.model_spec.version.value == 1


def test_a_failure_inside_the_server_is_internal_and_one_line_of_its_log(server, prediction, monkeypatch, capsys):
    def fail(self, request):
        raise KeyError("surprise")

    monkeypatch.setattr(Servable, "predict", fail)
    assert refuse(prediction.Predict, make_request([b"x"])) == (grpc.StatusCode.INTERNAL, "KeyError: 'surprise'")
    assert capsys.readouterr().err == "error: a request failed: KeyError: 'surprise'\n"


def test_other_methods_are_unimplemented_without_a_traceback(prediction, model_service, capfd):
    methods = {
        "Classify": (prediction.Classify, classification_pb2.ClassificationRequest()),
        "Regress": (prediction.Regress, regression_pb2.RegressionRequest()),
        "MultiInference": (prediction.MultiInference, inference_pb2.MultiInferenceRequest()),
        "HandleReloadConfigRequest": (
            model_service.HandleReloadConfigRequest,
            model_management_pb2.ReloadConfigRequest(),
        ),
    }
    for name, (method, request) in methods.items():
        message = f"{name} is not implemented by the local server"
        assert refuse(method, request) == (grpc.StatusCode.UNIMPLEMENTED, message)
    assert capfd.readouterr().err == ""


def make_metadata_request(name="cspn", fields=("signature_def",)):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    request.model_spec.name = name
    return request


def test_metadata_lists_both_signatures(prediction):
    response = prediction.GetModelMetadata(make_metadata_request(), timeout=TIMEOUT)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    inputs = {
        name: {key: tf.dtypes.as_dtype(info.dtype).name for key, info in signature.inputs.items()}
        for name, signature in signatures.signature_def.items()
        if not name.startswith("__")
    }
    assert inputs == {"serving_default": {"image_bytes": "string"}, "pixels": {"images": "uint8"}}
    assert (response.model_spec.name, response.model_spec.version.value) == ("cspn", 1)


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (
            make_metadata_request(fields=()),
            "INVALID_ARGUMENT",
            "GetModelMetadataRequest must specify at least one metadata_field",
        ),
        (make_metadata_request(fields=("graph",)), "INVALID_ARGUMENT", "Metadata field graph is not supported"),
        (make_metadata_request("shoes"), "NOT_FOUND", "Servable not found for request: Latest(shoes)"),
        (get_model_metadata_pb2.GetModelMetadataRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
    ],
)
def test_wrong_metadata_requests_are_refused(prediction, request_, code, message):
    received = refuse(prediction.GetModelMetadata, request_)
    assert (received[0].name, received[1]) == (code, message)


def make_status_request(name="cspn", version=None):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = name
    if version is not None:
        request.model_spec.version.value = version
    return request


@pytest.mark.parametrize("version", [None, 1])
def test_status_is_available(model_service, version):
    response = model_service.GetModelStatus(make_status_request(version=version), timeout=TIMEOUT)
    assert [(s.version, s.state, s.status.error_code) for s in response.model_version_status] == [
        (1, STATES.AVAILABLE, 0)
    ]


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (make_status_request("shoes"), "NOT_FOUND", "Could not find any versions of model shoes"),
        (make_status_request(version=7), "NOT_FOUND", "Could not find version 7 of model cspn"),
        (get_model_status_pb2.GetModelStatusRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
    ],
)
def test_status_of_what_is_not_there_is_refused(model_service, request_, code, message):
    received = refuse(model_service.GetModelStatus, request_)
    assert (received[0].name, received[1]) == (code, message)


@pytest.mark.parametrize("service", ["", "tensorflow.serving.PredictionService"])
def test_health_is_serving(channel, service):
    response = health_pb2_grpc.HealthStub(channel).Check(
        health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT
    )
    assert response.status == health_pb2.HealthCheckResponse.SERVING


def test_requests_at_the_same_time_get_their_own_answers(prediction):
    photos = [make_pixels(40 + i, 52) for i in range(6)]
    heights = {}

    def ask(i):
        response = prediction.Predict(make_request([encode(photos[i])]), timeout=TIMEOUT)
        heights[i] = tf.make_ndarray(response.outputs["image_size"])[0, 0]

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heights == {i: 40 + i for i in range(6)}


def test_a_new_version_takes_over_and_a_broken_one_does_not(tmp_path, capsys):
    export_fake_model(tmp_path / "cspn", 1)
    pixels = make_pixels(41, 52)
    with (
        LocalServer(tmp_path / "cspn", "cspn", poll_seconds=3600) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)

        def ask():
            response = prediction.Predict(make_request([encode(pixels)]), timeout=TIMEOUT)
            return response.model_spec.version.value, tf.make_ndarray(response.outputs["keypoints"])[0]

        version, keypoints = ask()
        assert version == 1
        np.testing.assert_allclose(keypoints, expected_outputs(pixels)["keypoints"], rtol=1e-6)

        export_fake_model(tmp_path / "cspn", 2, shift=5.0)
        server.versions.poll()
        version, keypoints = ask()
        assert version == 2
        np.testing.assert_allclose(keypoints, expected_outputs(pixels, shift=5.0)["keypoints"], rtol=1e-6)
        assert refuse(prediction.Predict, make_request([b"x"], version=1))[0] == grpc.StatusCode.NOT_FOUND

        broken = tmp_path / "cspn" / "3"
        broken.mkdir()
        (broken / "saved_model.pb").write_bytes(b"\xff\xff")
        server.versions.poll()
        assert ask()[0] == 2
        statuses = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(
            make_status_request(), timeout=TIMEOUT
        )
        assert [(s.version, s.state) for s in statuses.model_version_status] == [
            (1, STATES.END),
            (2, STATES.AVAILABLE),
            (3, STATES.END),
        ]
        failure = statuses.model_version_status[2].status
        assert failure.error_code == grpc.StatusCode.UNKNOWN.value[0]
        assert f"cannot read {broken}/saved_model.pb" in failure.error_message
    assert f"version 3 is not served: cannot read {broken}/saved_model.pb" in capsys.readouterr().err


def test_under_load_versions_change_without_a_failed_or_mixed_answer(tmp_path):
    shifts = {1: 0.0, 2: 5.0, 3: 9.0}
    export_fake_model(tmp_path / "cspn", 1)
    pixels = [make_pixels(41 + number, 52) for number in range(3)]
    request, answers, stop = make_request([encode(photo) for photo in pixels]), [], threading.Event()
    with LocalServer(tmp_path / "cspn", "cspn", poll_seconds=3600) as server:

        def ask_until_stopped():
            with grpc.insecure_channel(server.address) as channel:
                predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
                while not stop.is_set():
                    response = predict(request, timeout=TIMEOUT)
                    keypoints = tf.make_ndarray(response.outputs["keypoints"])
                    answers.append((response.model_spec.version.value, keypoints))

        with ThreadPoolExecutor(4) as pool:
            clients = [pool.submit(ask_until_stopped) for _ in range(4)]

            def wait_for_answers_of(version):
                seen = len(answers)
                while version not in [answer[0] for answer in answers[seen:]]:
                    assert not any(client.done() for client in clients), [client.result() for client in clients]
                    time.sleep(0.01)

            try:
                for version in (2, 3):
                    export_fake_model(tmp_path / "cspn", version, shift=shifts[version])
                    server.versions.poll()
                    wait_for_answers_of(version)
                shutil.rmtree(tmp_path / "cspn" / "3")
                server.versions.poll()
                wait_for_answers_of(2)
            finally:
                stop.set()
            for client in clients:
                client.result()
    versions = [version for version, _ in answers]
    # Version 3 was rolled back, so that version 2 is the last again.
    assert set(versions) == {1, 2, 3} and versions[-1] == 2
    for version, keypoints in answers:
        expected = [expected_outputs(photo, shift=shifts[version])["keypoints"] for photo in pixels]
        np.testing.assert_allclose(keypoints, expected, rtol=1e-6)


def test_a_used_port_is_refused(server, model_dir):
    with (
        pytest.raises(UserError, match=f"cannot listen on localhost:{server.port}: in use"),
        LocalServer(model_dir, "cspn", port=server.port),
    ):
        pass


def test_a_model_that_cannot_be_loaded_leaves_the_port_alone(tmp_path):
    server = LocalServer(tmp_path / "nothing", "cspn")
    with pytest.raises(UserError, match="no model at"), server:
        pass
    assert server.port == 0
