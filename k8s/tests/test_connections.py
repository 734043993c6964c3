"""docs/deploy.md has the table of who talks to whom: NetworkPolicies allow that, nothing else, and it is complete."""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import pytest
from manifests import DEPLOY_PAGE, FLUX, KUBECTL, all_containers, objects, of_kind, pod_specs
from policies import Party, allows, is_selected

_ROW: Final = re.compile(r"^\| ([a-z-]+) \| ([a-z-]+) \| (\d+) \|", re.MULTILINE)
HOSTS: Final = {
    "dragonfly.database.svc.cluster.local": "dragonfly",
    "minio.storage.svc.cluster.local": "minio",
    "mlflow.datasci.svc.cluster.local": "mlflow",
    "bandit-service.datasci.svc.cluster.local": "bandit-service",
}
OUTSIDE: Final = {
    "postgres": Party("database", {}, {}),
    "dragonfly": Party("database", {}, {}),
    "minio": Party("storage", {}, {}),
    "mlflow": Party("datasci", {"app.kubernetes.io/name": "mlflow"}, {}),
    "dagster": Party("datasci", {"app.kubernetes.io/name": "dagster"}, {}),
    "gateway": Party("network", {}, {}),
    "prometheus": Party("observability", {}, {}),
    "client": Party("shop", {}, {"bandit/client": "true"}),
}


class Connection(NamedTuple):
    source: str
    target: str
    port: int


def run_labels() -> dict[str, str]:
    [context] = [
        variable["value"]
        for _, container in all_containers("flux/pipeline")
        for variable in container.get("env", [])
        if variable["name"] == "DAGSTER_CONTAINER_CONTEXT"
    ]
    labels: dict[str, str] = json.loads(context)["k8s"]["labels"]
    return labels


@pytest.fixture(scope="module")
def parties() -> dict[str, Party]:
    """Everybody by name: pods of the manifests, runs that Dagster makes, and who is there without us."""
    own = [labels for name in FLUX for found in objects(name) for labels, _ in pod_specs(found)] + [run_labels()]
    return OUTSIDE | {labels["app.kubernetes.io/name"]: Party("datasci", labels, {}) for labels in own}


@pytest.fixture(scope="module")
def table() -> set[Connection]:
    return {Connection(source, target, int(port)) for source, target, port in _ROW.findall(DEPLOY_PAGE.read_text())}


def test_the_table_names_everybody(table: set[Connection], parties: dict[str, Party]) -> None:
    assert {name for row in table for name in row[:2]} == parties.keys()


@pytest.mark.parametrize("overlays", [FLUX, KUBECTL], ids=["flux", "kubectl"])
def test_what_is_allowed_is_what_the_table_says(
    overlays: tuple[str, ...], table: set[Connection], parties: dict[str, Party]
) -> None:
    policies = of_kind("NetworkPolicy", *overlays)
    rules = [rule for policy in policies for way in ("ingress", "egress") for rule in policy["spec"].get(way, [])]
    ports = {row.port for row in table} | {each["port"] for rule in rules for each in rule["ports"]}
    ours = parties.keys() - OUTSIDE.keys()
    allowed = {
        Connection(source, target, port)
        for source, target in itertools.permutations(parties, 2)
        if source in ours or target in ours
        for port in ports
        if allows(policies, parties[source], parties[target], port)
    }
    wanted = {row for row in table if overlays == FLUX or row.source != "gateway"}
    # Postgres and the store share a namespace, which is as far as policies can tell them apart.
    crossed = {Connection("bandit-service", "postgres", 6379), Connection("bandit-service", "dragonfly", 5432)}
    others = {row._replace(target="dragonfly") for row in wanted if row.target == "postgres"}
    assert allowed - crossed - others == wanted


def test_everybody_is_denied_by_default_and_may_ask_for_names(parties: dict[str, Party]) -> None:
    policies = of_kind("NetworkPolicy", *FLUX)
    names = Party("kube-system", {"k8s-app": "kube-dns"}, {})
    for name in parties.keys() - OUTSIDE.keys():
        assert is_selected(policies, parties[name], "Ingress"), name
        assert is_selected(policies, parties[name], "Egress"), name
        assert allows(policies, parties[name], names, 53), name


@pytest.mark.parametrize("overlays", [FLUX, KUBECTL], ids=["flux", "kubectl"])
def test_every_address_in_the_environment_is_in_the_table(overlays: tuple[str, ...], table: set[Connection]) -> None:
    found = set(addresses(overlays))
    assert {("bandit-service", "dragonfly", 6379), ("bandit-router", "bandit-service", 8000)} <= found
    assert found <= table


def addresses(overlays: tuple[str, ...]) -> Iterator[Connection]:
    """Yield who is told which address; a secret with BANDIT_POSTGRES_DSN is one of Postgres."""
    shared = {found["metadata"]["name"]: found.get("data", {}) for found in of_kind("ConfigMap", *overlays)}
    for pod, container in all_containers(*overlays):
        given = {each["name"]: each.get("value", "") for each in container.get("env", [])}
        for source in container.get("envFrom", []):
            given |= shared.get(source.get("configMapRef", {}).get("name"), {})
        if "BANDIT_POSTGRES_DSN" in given:
            yield Connection(pod, "postgres", 5432)
        for value in given.values():
            if (url := urlsplit(value)).hostname in HOSTS:
                yield Connection(pod, HOSTS[url.hostname], url.port or 0)
    for deployment in of_kind("SeldonDeployment", *overlays):
        for parameter in deployment["spec"]["predictors"][0]["graph"]["parameters"]:
            if parameter["name"] == "service_url":
                url = urlsplit(parameter["value"])
                yield Connection("bandit-router", HOSTS[url.hostname or ""], url.port or 0)
