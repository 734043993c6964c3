"""What manifests say of the programs is what the programs themselves say: images, commands, settings, ports, probes."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, Final

import pytest
import typer.main
from manifests import FLUX, KUBECTL, REPOSITORY, Object, all_containers, objects, of_kind, pod_specs
from pods import app_of
from schemas import errors_of

from bandit_pipeline.resources import resources_from
from bandit_service.cli import app
from bandit_service.http.http_server import SHUTDOWN_SECONDS
from bandit_service.replica import DRAIN_SECONDS
from bandit_service.settings import PREFIX, Settings

APPS: Final = REPOSITORY / "apps"
ROUTER_SOURCE: Final = (APPS / "bandit-router/src/bandit_router/router.py").read_text()
# Read by Dagster itself, not by the pipeline.
DAGSTER: Final = {"DAGSTER_CURRENT_IMAGE", "DAGSTER_CONTAINER_CONTEXT"}
# What the pipeline does without.
OPTIONAL: Final = {
    "BANDIT_GRAFANA_TOKEN",
    "BANDIT_GRAFANA_URL",
    "BANDIT_MLFLOW_ARTIFACTS",
    "BANDIT_S3_ADDRESSING_STYLE",
    "BANDIT_S3_SESSION_TOKEN",
}
# What its run launcher is told where Dagster itself is deployed.
DAGSTERS_OWN: Final = SimpleNamespace(
    dagster_home="/opt/dagster/dagster_home", instance_config_map="dagster", postgres_password_secret=None
)


def every_container() -> Iterator[tuple[str, Object]]:
    return all_containers(*FLUX, *KUBECTL)


def dockerfile(container: Object) -> str:
    return (APPS / app_of(container) / "Dockerfile").read_text()


def test_every_image_has_a_dockerfile_a_workflow_and_the_version_of_its_app() -> None:
    images = {container["image"] for _, container in every_container()}
    assert len(images) == 3
    for image in images:
        match = re.fullmatch(r"ghcr\.io/bayesian-bandit/([a-z-]+):(.+)", image)
        assert match, image
        assert (APPS / match[1] / "Dockerfile").is_file()
        assert (REPOSITORY / ".github/workflows" / f"{match[1]}.yml").is_file()
        project = tomllib.loads((APPS / match[1] / "pyproject.toml").read_text())["project"]
        assert project["version"] == match[2]


def test_pods_run_as_the_user_of_their_image_and_hold_to_the_restricted_standard() -> None:
    for name in (*FLUX, *KUBECTL):
        for found in objects(name):
            for _, spec in pod_specs(found):
                assert spec["automountServiceAccountToken"] is False
                assert spec["enableServiceLinks"] is False
                for container in [*spec.get("initContainers", []), *spec["containers"]]:
                    context = spec.get("securityContext", {}) | container["securityContext"]
                    assert f"USER {context['runAsUser']}:{context['runAsGroup']}" in dockerfile(container)
                    assert context["runAsNonRoot"] is True
                    assert context["readOnlyRootFilesystem"] is True
                    assert context["allowPrivilegeEscalation"] is False
                    assert context["capabilities"] == {"drop": ["ALL"]}
                    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
                    assert {"requests", "limits"} == container["resources"].keys()


def test_no_account_has_a_token() -> None:
    accounts = of_kind("ServiceAccount", *FLUX)
    assert accounts
    assert all(account["automountServiceAccountToken"] is False for account in accounts)


def test_ports_are_those_the_image_exposes() -> None:
    for _, container in every_container():
        if "ports" in container:
            [exposed] = re.findall(r"^EXPOSE (.+)$", dockerfile(container), re.MULTILINE)
            assert {str(port["containerPort"]) for port in container["ports"]} == set(exposed.split())


def test_what_probes_and_monitors_ask_for_is_answered() -> None:
    paths = json.loads((APPS / "bandit-service/src/bandit_service/openapi.json").read_text())["paths"]
    for name, container in every_container():
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            match container.get(kind, {}):
                case {"httpGet": {"path": path}}:
                    assert path in paths if name == "bandit-service" else f"'{path}'" in dockerfile(container)
                case {"grpc": {"port": port}}:
                    assert port in {each["containerPort"] for each in container["ports"]}
    [monitor] = of_kind("ServiceMonitor", "flux/monitoring")
    [endpoint] = monitor["spec"]["endpoints"]
    [service] = of_kind("Service", "flux/service")
    assert endpoint["path"] in paths
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert service["metadata"]["labels"].items() >= monitor["spec"]["selector"]["matchLabels"].items()


def commands() -> dict[str, Any]:
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def known_variables(container: Object) -> tuple[set[str], set[str]]:
    """Return the variables that a container's program reads, and those it cannot do without."""
    match app_of(container), container.get("command", []):
        case "bandit-service", ["bandit-service", "serve"]:
            required = {name for name, field in Settings.model_fields.items() if field.is_required()}
            return {_variable(name) for name in Settings.model_fields}, {_variable(name) for name in required}
        case "bandit-service", ["bandit-service", command, *_]:
            options = [each for each in commands()[command].params if each.envvar]
            return {str(each.envvar) for each in options}, {str(each.envvar) for each in options if each.required}
        case "bandit-service", ["banditctl", *_]:
            return {"BANDIT_URL", "BANDIT_API_KEY"}, {"BANDIT_URL"}
        case "bandit-pipeline", _:
            read = _read_by_the_pipeline()
            return read | DAGSTER, read - OPTIONAL
        case "bandit-router", _ if container["name"] == "bandit-router":
            return {name for name in ("BANDIT_API_KEY",) if f'"{name}"' in ROUTER_SOURCE}, {"BANDIT_API_KEY"}
        case _:
            return set(), set()


def _variable(field: str) -> str:
    return PREFIX + field.upper()


def _read_by_the_pipeline() -> set[str]:
    class Recorder(dict[str, str]):
        def __contains__(self, name: object) -> bool:
            read.add(str(name))
            return False

    read: set[str] = set()
    resources_from(Recorder())
    return read


def given_variables(container: Object, shared: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    yield from (each["name"] for each in container.get("env", []))
    for source in container.get("envFrom", []):
        [(_, reference)] = source.items()
        yield from shared[reference["name"]]


def secrets_of_external_secrets() -> dict[str, set[str]]:
    made = {}
    for each in of_kind("ExternalSecret", *FLUX):
        spec = each["spec"]
        templated = spec["target"].get("template", {}).get("data", {})
        made[spec["target"]["name"]] = {data["secretKey"] for data in spec["data"]} | templated.keys()
    return made


def test_every_variable_is_one_that_is_read_and_none_that_is_needed_is_missing() -> None:
    shared: dict[str, dict[str, str]] = {
        name: dict.fromkeys(keys, "") for name, keys in secrets_of_external_secrets().items()
    }
    for found in of_kind("ConfigMap", *FLUX):
        shared[found["metadata"]["name"]] = shared.get(found["metadata"]["name"], {}) | found.get("data", {})
    for name, container in every_container():
        known, needed = known_variables(container)
        given = set(given_variables(container, shared))
        assert needed <= given <= known, (name, container["name"])


def test_the_service_is_given_the_time_it_takes_to_leave() -> None:
    [deployment] = of_kind("Deployment", "flux/service")
    spec = deployment["spec"]["template"]["spec"]
    sleeps = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert spec["terminationGracePeriodSeconds"] > sleeps + SHUTDOWN_SECONDS + DRAIN_SECONDS


def test_two_replicas_are_there_and_one_may_go() -> None:
    [scaler] = of_kind("HorizontalPodAutoscaler", "flux/service")
    [budget] = of_kind("PodDisruptionBudget", "flux/service")
    [deployment] = of_kind("Deployment", "flux/service")
    assert scaler["spec"]["minReplicas"] >= 2
    assert budget["spec"]["maxUnavailable"] == 1
    assert "replicas" not in deployment["spec"], "the autoscaler's"


@pytest.mark.parametrize("name", ["flux/pipeline", "kubectl/pipeline"])
def test_dagster_makes_valid_runs_of_the_code_locations_image_and_environment(name: str) -> None:
    from dagster_k8s.container_context import K8sContainerContext
    from dagster_k8s.job import construct_dagster_k8s_job
    from kubernetes.client import ApiClient

    [deployment] = of_kind("Deployment", name)
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    given = {each["name"]: each["value"] for each in container["env"]}
    assert given["DAGSTER_CURRENT_IMAGE"] == container["image"]
    context = K8sContainerContext.create_from_config(json.loads(given["DAGSTER_CONTAINER_CONTEXT"]))
    job = ApiClient().sanitize_for_serialization(
        construct_dagster_k8s_job(
            context.get_k8s_job_config(container["image"], DAGSTERS_OWN),
            ["dagster", "api", "execute_run"],
            "run",
            context.run_k8s_config,
        )
    )
    assert not errors_of(job)
    pod = job["spec"]["template"]
    [run] = pod["spec"]["containers"]
    assert pod["metadata"]["labels"]["app.kubernetes.io/part-of"] == "bandit"
    assert context.namespace == deployment["metadata"]["namespace"]
    assert pod["spec"]["serviceAccountName"] == deployment["spec"]["template"]["spec"]["serviceAccountName"]
    assert run["envFrom"] == container["envFrom"]
    assert pod["spec"]["securityContext"] == deployment["spec"]["template"]["spec"]["securityContext"]
    assert run["securityContext"] == container["securityContext"]
    assert {each["mountPath"] for each in run["volumeMounts"]} >= {
        each["mountPath"] for each in container["volumeMounts"]
    }
