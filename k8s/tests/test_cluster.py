"""What a real cluster has shown: applies without a difference, stages that wait, a node of two cores."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
import yaml
from manifests import BANDIT, DEPENDENCIES, DEPLOY_PAGE, FLUX, KUBECTL, Object, objects, of_kind, of_path, pod_specs

PAGE: Final = DEPLOY_PAGE.read_text()
# Of its two cores a node of a managed cluster keeps up to 100m for itself, and what every cluster runs takes some more.
ALLOCATABLE: Final = 1_700


def cores(found: str | int) -> int:
    """Return thousandths of a core."""
    text = str(found)
    return int(text.removesuffix("m")) if text.endswith("m") else round(float(text) * 1_000)


def requested(spec: Object) -> int:
    """Return what the scheduler counts for a pod: its containers, or one that initialises it if that is more."""
    asked = [cores(each["resources"]["requests"]["cpu"]) for each in spec["containers"]]
    first = [cores(each["resources"]["requests"]["cpu"]) for each in spec.get("initContainers", [])]
    return max([sum(asked), *first])


def replicas_of(found: Object) -> int:
    if found["metadata"]["name"] == "bandit-service":
        [scaler] = of_kind("HorizontalPodAutoscaler", "kubectl/service")
        return int(scaler["spec"]["minReplicas"])
    return int(found.get("spec", {}).get("replicas", 1))


def requested_by(found: Object) -> int:
    match found["kind"]:
        case "SeldonDeployment":
            [predictor] = found["spec"]["predictors"]
            orchestrator = cores(predictor["svcOrchSpec"]["resources"]["requests"]["cpu"])
            pods = sum(requested(spec) for _, spec in pod_specs(found))
            return int(predictor["replicas"]) * (orchestrator + pods)
        case "Cluster":
            return int(found["spec"]["instances"]) * cores(found["spec"]["resources"]["requests"]["cpu"])
        case "Dragonfly":
            return int(found["spec"]["replicas"]) * cores(found["spec"]["resources"]["requests"]["cpu"])
    return replicas_of(found) * sum(requested(spec) for _, spec in pod_specs(found))


def test_everything_and_a_run_fit_a_node_of_two_cores() -> None:
    stages = sum(requested_by(each) for name in KUBECTL for each in objects(name))
    stores = sum(requested_by(each) for each in objects(DEPENDENCIES))
    [deployment] = of_kind("Deployment", "kubectl/pipeline")
    [run] = re.findall(r'"requests": {"cpu": "(\d+m)"', str(yaml.safe_dump(deployment, width=10_000)).replace("\\", ""))
    assert stages + stores + cores(run) <= ALLOCATABLE


def test_scaling_does_not_depend_on_requests() -> None:
    [scaler] = of_kind("HorizontalPodAutoscaler", "flux/service")
    [metric] = scaler["spec"]["metrics"]
    assert metric["resource"]["target"]["type"] == "AverageValue"


@pytest.mark.parametrize("name", [*FLUX, *KUBECTL])
def test_ports_of_policies_name_their_protocol(name: str) -> None:
    """The API server fills it in, and a second apply would find a difference."""
    for policy in of_kind("NetworkPolicy", name):
        for rule in [*policy["spec"].get("ingress", []), *policy["spec"].get("egress", [])]:
            assert all("protocol" in port for port in rule["ports"])


def test_flux_always_substitutes() -> None:
    """Without a variable it would apply every default as it is written."""
    for stage in of_path(BANDIT / "ks.yaml"):
        assert stage["spec"]["postBuild"]["substitute"]


def rules_of(job: Object) -> list[tuple[str, str, list[int]]]:
    found: list[dict[str, Any]] = job["spec"]["podFailurePolicy"]["rules"]
    return [(each["action"], each["onExitCodes"]["operator"], each["onExitCodes"]["values"]) for each in found]


def test_jobs_wait_for_keys_and_stores_without_failing() -> None:
    jobs = {each["metadata"]["name"]: each for each in of_kind("Job", *FLUX)}
    for job in jobs.values():
        assert "activeDeadlineSeconds" not in job["spec"], "a Job that has failed is not tried again"
        [container] = job["spec"]["template"]["spec"]["containers"]
        assert "--patience" in container["command"]
        assert {each["onExitCodes"]["containerName"] for each in job["spec"]["podFailurePolicy"]["rules"]} == {
            container["name"]
        }
    others = ("Ignore", "NotIn", [0])
    assert rules_of(jobs["bandit-migrations"]) == [others]
    assert rules_of(jobs["bandit-experiments"]) == [("FailJob", "In", [1]), others]


def test_the_orchestrators_grpc_port_is_closed() -> None:
    policies = of_kind("NetworkPolicy", *FLUX, *KUBECTL)
    assert not any(
        port["port"] == 5001 for each in policies for rule in each["spec"].get("ingress", []) for port in rule["ports"]
    )


def test_every_namespace_is_named_on_the_page() -> None:
    used = {each["metadata"].get("namespace") for name in (*FLUX, *KUBECTL) for each in objects(name)} - {None}
    assert used == {"datasci", "database", "observability"}
    assert all(f"`{name}`" in PAGE for name in used)


def test_namespaces_are_applied_and_not_created() -> None:
    """What `kubectl create` has made, `kubectl apply` warns of."""
    assert not re.search(r"kubectl create namespace", PAGE)


def test_changed_jobs_are_deleted_before_they_are_applied() -> None:
    for block in re.split(r"\n(?! )", PAGE):
        if "apply -k" in block and "kubectl/experiments" in block:
            assert (
                "delete job bandit-experiments" in block or "delete job bandit-migrations bandit-experiments" in block
            )
