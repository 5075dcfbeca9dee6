"""The manifests for TF Serving, against the schemas of what reads them, and against each other."""

import copy
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from cspn_tf.contract import DEFAULT_MODEL_NAME
from tests.deploy.schemas import faults, published

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/tf_serving"
CONFIG = ROOT / "serving/tf_serving"
KUBERNETES_VERSION = "1.31"


def kubernetes_manifests():
    return {manifest["kind"]: manifest for manifest in yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())}


def kserve_manifest():
    return yaml.safe_load((FOLDER / "kserve.yaml").read_text())


def compose_file():
    return yaml.safe_load((FOLDER / "compose.yaml").read_text())


@pytest.mark.parametrize("manifest", kubernetes_manifests().values(), ids=kubernetes_manifests())
def test_kubernetes_accepts_every_manifest(manifest):
    kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)
    wrong = copy.deepcopy(manifest) | {"specs": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES_VERSION, strict=True)


def test_kserve_accepts_the_inference_service():
    schema, manifest = published("inferenceservice-v1beta1"), kserve_manifest()
    assert (manifest["apiVersion"], manifest["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert faults(schema["properties"]["spec"], manifest["spec"]) == []
    manifest["spec"]["predictor"]["model"]["storage_uri"] = "pvc://x"
    assert len(faults(schema["properties"]["spec"], manifest["spec"])) == 1


def test_compose_accepts_the_file():
    schema, content = published("compose"), compose_file()
    assert faults(schema, content) == []
    content["services"]["cspn"]["ports"] = 8500
    assert len(faults(schema, content)) == 1


def test_all_serve_the_same_model_with_the_same_settings():
    manifests, service = kubernetes_manifests(), compose_file()["services"]["cspn"]
    files = {path.name: path.read_text() for path in CONFIG.iterdir()}
    assert manifests["ConfigMap"]["data"] == files
    (container,) = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == service["image"] == "tensorflow/serving:2.15.1"
    assert kserve_manifest()["spec"]["predictor"]["model"]["runtimeVersion"] == "2.15.1"
    read = {arg.partition("=")[2] for arg in (*container["args"], *service["command"]) if "_file=" in arg}
    assert read == {f"/config/{name}" for name in files}
    for probe in ("startupProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["path"] == f"/v1/models/{DEFAULT_MODEL_NAME}"
    for volume in service["volumes"]:
        source = (FOLDER / volume.split(":")[0]).resolve()
        assert source == ROOT / "models/cspn" or source.is_dir()


def test_the_parts_find_each_other():
    manifests = kubernetes_manifests()
    labels = manifests["Deployment"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        manifests["Deployment"]["spec"]["selector"]["matchLabels"],
        manifests["Service"]["spec"]["selector"],
        manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(selector == {"app": "cspn"} and selector.items() <= labels.items() for selector in selectors)
    (container,) = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in manifests["Service"]["spec"]["ports"]} == ports
    assert {port["port"] for rule in manifests["NetworkPolicy"]["spec"]["ingress"] for port in rule["ports"]} == ports
    target = manifests["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", manifests["Deployment"]["metadata"]["name"])
    assert (
        manifests["HorizontalPodAutoscaler"]["spec"]["minReplicas"]
        > manifests["PodDisruptionBudget"]["spec"]["minAvailable"]
    )


def test_containers_are_confined():
    spec = kubernetes_manifests()["Deployment"]["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] and not spec["automountServiceAccountToken"]
    (container,) = spec["containers"]
    confined = container["securityContext"]
    assert confined["readOnlyRootFilesystem"] and not confined["allowPrivilegeEscalation"]
    assert confined["capabilities"] == {"drop": ["ALL"]}
    assert all(mount["readOnly"] for mount in container["volumeMounts"] if mount["name"] != "tmp")
    service = compose_file()["services"]["cspn"]
    assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["user"] != "0"
    assert all(volume.endswith(":ro") for volume in service["volumes"])
