"""Manifests agree with each other: secrets, stages, the Seldon graph, experiments, dashboards."""

import json
import re
from collections.abc import Callable
from typing import Any, Final

import pytest
import yaml
from manifests import (
    BANDIT,
    DEPENDENCIES,
    DEPLOY_PAGE,
    FLUX,
    KUBECTL,
    REPOSITORY,
    STAGES,
    VARIABLE,
    Object,
    all_containers,
    built_by_kustomize,
    objects,
    of_kind,
    of_path,
)
from test_code import commands, secrets_of_external_secrets

from bandit_core.rules.experiment_requests import NewExperiment, read
from bandit_router.parameters import Parameters

PAGE: Final = DEPLOY_PAGE.read_text()
# What the operators write into the secrets that are read.
CRUNCHY: Final = {
    "user",
    "password",
    "dbname",
    "host",
    "port",
    "uri",
    "pgbouncer-host",
    "pgbouncer-port",
    "pgbouncer-uri",
}
SELDON_TYPES: Final[dict[str, Callable[[str], object]]] = {
    "STRING": str,
    "INT": int,
    "FLOAT": float,
    "BOOL": lambda text: text == "true",
}


def used_secrets(*overlays: str) -> set[tuple[str, str]]:
    """Return every key of a secret that a container is given by name."""
    return {
        (reference["name"], reference["key"])
        for _, container in all_containers(*overlays)
        for variable in container.get("env", [])
        if (reference := variable.get("valueFrom", {}).get("secretKeyRef"))
    }


def test_every_secret_that_is_used_is_made_by_an_external_secret() -> None:
    made = secrets_of_external_secrets()
    used = used_secrets(*FLUX)
    assert ("bandit-service", "BANDIT_SIGNING_KEYS") in used
    assert all(key in made[name] for name, key in used)
    whole = {
        each["secretRef"]["name"]
        for _, container in all_containers(*FLUX)
        for each in container.get("envFrom", [])
        if "secretRef" in each
    }
    assert whole == {"bandit-pipeline"} <= made.keys()


def test_without_external_secrets_the_page_makes_the_same_keys() -> None:
    commands = PAGE.replace("\\\n", " ").splitlines()
    made = {
        match[1]: set(re.findall(r"--from-literal=(\w+)=", line))
        for line in commands
        if (match := re.search(r"create secret generic ([a-z-]+)", line))
    }
    by_flux = secrets_of_external_secrets()
    assert made == {name: by_flux[name] for name in made}
    assert {name for name, _ in used_secrets(*KUBECTL)} | {"bandit-pipeline"} == made.keys()


def test_what_is_read_of_crunchys_secret_is_in_it() -> None:
    read = [
        data["remoteRef"]
        for each in of_kind("ExternalSecret", *FLUX)
        for data in each["spec"]["data"]
        if "sourceRef" in data
    ]
    [role] = of_kind("Role", "flux/migrations")
    assert {reference["key"] for reference in read} == set(role["rules"][0]["resourceNames"])
    assert {reference["property"] for reference in read} <= CRUNCHY


def test_the_page_says_which_properties_the_secret_store_needs() -> None:
    for each in of_kind("ExternalSecret", *FLUX):
        for data in each["spec"]["data"]:
            if "sourceRef" not in data:
                assert f"`{data['remoteRef']['property']}`" in PAGE


def test_there_is_no_secret_in_git() -> None:
    for name in (*FLUX, *KUBECTL, DEPENDENCIES):
        assert not of_kind("Secret", name)
    for name, container in all_containers(*FLUX, *KUBECTL):
        for variable in container.get("env", []):
            assert "value" not in variable or not re.search("KEY|DSN|SECRET|TOKEN|PASSWORD", variable["name"]), name


def test_only_migrations_go_past_pgbouncer() -> None:
    properties = {
        each["metadata"]["name"]: data["remoteRef"]["property"]
        for each in of_kind("ExternalSecret", *FLUX)
        for data in each["spec"]["data"]
        if data["secretKey"] == "BANDIT_POSTGRES_DSN"
    }
    direct = {name for name, one in properties.items() if one == "uri"}
    assert direct == {"bandit-migrations"}
    assert {properties[name] for name in properties.keys() - direct} == {"pgbouncer-uri"}


def test_every_variable_is_explained_with_its_default() -> None:
    found: set[tuple[str, str]] = set()
    for name in FLUX:
        for each in built_by_kustomize(name):
            if "substitute" not in str(each["metadata"].get("annotations")):
                found |= set(VARIABLE.findall(yaml.safe_dump(each, width=10_000)))
    assert set(re.findall(r"^ *\| `(\w+)` \| `([^`]+)` \| ", PAGE, re.MULTILINE)) == found


def test_what_the_page_tells_people_to_use_exists() -> None:
    named = set(re.findall(r"(?:`|-- )bandit-service ([a-z][a-z-]+)", PAGE))
    assert {"keys", "doctor"} <= named <= commands().keys()
    folders = set(re.findall(r"apply -k (\S+)", PAGE))
    assert len(folders) == len(KUBECTL) + 1
    assert all((REPOSITORY / folder / "kustomization.yaml").is_file() for folder in folders)


def stages() -> dict[str, Object]:
    return {each["metadata"]["name"].removeprefix("bandit-"): each["spec"] for each in of_path(BANDIT / "ks.yaml")}


def test_there_is_one_stage_for_each_overlay_in_an_order_that_works() -> None:
    found = stages()
    assert tuple(found) == STAGES
    for position, (name, spec) in enumerate(found.items()):
        assert (REPOSITORY / spec["path"] / "kustomization.yaml").is_file()
        before = {each["name"].removeprefix("bandit-") for each in spec.get("dependsOn", [])}
        assert before <= set(STAGES[:position])
        assert spec["wait"] is True
        kinds = {each["kind"] for each in objects(f"flux/{name}")}
        assert spec.get("force", False) == ("Job" in kinds), "a Job's template cannot be changed"
        judged = {each["kind"] for each in spec["healthCheckExprs"]}
        assert judged == kinds & {"ExternalSecret", "SeldonDeployment"}


def test_no_job_removes_itself() -> None:
    jobs = of_kind("Job", *FLUX)
    assert len(jobs) == 2
    assert not any("ttlSecondsAfterFinished" in job["spec"] for job in jobs), "Flux would run it again and again"


def test_prometheus_sends_the_token_that_the_service_asks_for() -> None:
    [monitor] = of_kind("ServiceMonitor", "flux/monitoring")
    [endpoint] = monitor["spec"]["endpoints"]
    credentials = endpoint["authorization"]["credentials"]
    assert credentials["key"] == "BANDIT_METRICS_TOKEN"
    assert (credentials["name"], credentials["key"]) in used_secrets("flux/service")


def names_in(node: Object) -> list[str]:
    return [node["name"], *(name for child in node.get("children", []) for name in names_in(child))]


@pytest.mark.parametrize("name", ["flux/router", "kubectl/router"])
def test_the_graph_is_of_containers_and_its_children_are_the_arms(name: str) -> None:
    [deployment] = of_kind("SeldonDeployment", name)
    [predictor] = deployment["spec"]["predictors"]
    graph = predictor["graph"]
    there = [container["name"] for part in predictor["componentSpecs"] for container in part["spec"]["containers"]]
    assert names_in(graph) == there
    given: dict[str, Any] = {each["name"]: SELDON_TYPES[each["type"]](each["value"]) for each in graph["parameters"]}
    parameters = Parameters(**given)
    experiment = definitions()[parameters.experiment_id]
    assert [child["name"] for child in graph["children"]] == [arm.id for arm in experiment.arms]
    assert parameters.branches == len(experiment.arms)
    assert experiment.arms[parameters.default_arm].id == experiment.default_arm
    budget = int(deployment["spec"]["annotations"]["seldon.io/rest-timeout"]) / 1_000
    assert budget > 3 * parameters.timeout, "one feedback is up to three questions to the service"


def definitions() -> dict[str, NewExperiment]:
    [found] = [each for each in of_kind("ConfigMap", "flux/experiments") if "experiments" in each["metadata"]["name"]]
    kept = [read(NewExperiment, json.loads(text)) for text in found["data"].values()]
    return {each.experiment_id: each for each in kept}


def test_every_definition_is_applied_and_is_one_the_service_takes() -> None:
    folder = BANDIT / "app" / "base" / "experiments" / "definitions"
    assert sorted(definitions()) == sorted(path.stem for path in folder.glob("*"))


def test_a_changed_experiment_is_a_changed_job() -> None:
    [job] = of_kind("Job", "flux/experiments")
    [volume] = job["spec"]["template"]["spec"]["volumes"]
    [config] = [each["metadata"]["name"] for each in of_kind("ConfigMap", "flux/experiments")]
    assert volume["configMap"]["name"] == config
    assert re.fullmatch(r"bandit-experiments-\w{10}", config), "the hash of its content"


def test_what_seldon_names_itself_has_no_hash() -> None:
    [deployment] = of_kind("SeldonDeployment", "flux/router")
    assert {reference for reference, _ in used_secrets("flux/router")} == {"bandit-router"}
    [route] = of_kind("HTTPRoute", "flux/router")
    [backend] = route["spec"]["rules"][0]["backendRefs"]
    [predictor] = deployment["spec"]["predictors"]
    assert backend["name"] == f"{deployment['metadata']['name']}-{predictor['name']}"


def test_dependencies_are_what_the_rest_looks_for() -> None:
    [postgres] = of_kind("Cluster", DEPENDENCIES)
    [store] = of_kind("Dragonfly", DEPENDENCIES)
    assert f"secret {postgres['metadata']['name']}-app" in PAGE
    [url] = {
        variable["value"]
        for _, container in all_containers("kubectl/service")
        for variable in container["env"]
        if variable["name"] == "BANDIT_REDIS_URL"
    }
    assert url.startswith(f"redis://{store['metadata']['name']}.{store['metadata']['namespace']}.svc")
    assert "--cache_mode=false" in store["spec"]["args"]


def test_dashboards_are_loaded_as_they_are_and_their_data_sources_exist() -> None:
    labelled: dict[str, Any] = {}
    for each in of_kind("ConfigMap", "flux/monitoring"):
        [label] = [name for name in each["metadata"]["labels"] if name.startswith("grafana_")]
        assert each["metadata"]["labels"][label] == "1"
        assert each["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/substitute"] == "disabled"
        labelled[label] = each["data"]
    files = {path.name: path.read_text() for path in (REPOSITORY / "grafana/generated/dashboards").iterdir()}
    assert labelled["grafana_dashboard"] == files
    [sources] = (yaml.safe_load(text)["datasources"] for text in labelled["grafana_datasource"].values())
    declared = {source["uid"] for source in sources} | {"prometheus"}
    used = {uid for text in files.values() for uid in re.findall(r'"uid": "([\w-]+)"', json.dumps(_sources(text)))}
    assert used == declared
    needed = set(re.findall(r"\$__env\{(\w+)\}", str(labelled["grafana_datasource"])))
    assert needed == secrets_of_external_secrets()["bandit-grafana-postgres"]


def _sources(text: str) -> list[Any]:
    """Return every reference to a data source in a dashboard."""

    def found(node: Any) -> list[Any]:
        match node:
            case dict():
                own = [node["datasource"]] if isinstance(node.get("datasource"), dict) else []
                return own + [each for value in node.values() for each in found(value)]
            case list():
                return [each for value in node for each in found(value)]
        return []

    return found(json.loads(text))
