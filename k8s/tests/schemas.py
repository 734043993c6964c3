"""Strict validation, as an API server with `fieldValidation: Strict` does it: what a schema does not know is an error.

Rules written in CEL (`x-kubernetes-validations`) are not evaluated.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import yaml
from jsonschema import Draft202012Validator
from manifests import LOADER, Object

VARIABLE: Final = "BANDIT_CRDS"
KEPT: Final = Path(__file__).with_name("definitions")
# The oldest with all the fields that are used, and the newest there are schemas of.
VERSIONS: Final = ("1.32", kubernetes_validate.latest_version())
_NATIVE: Final = ("apps", "autoscaling", "batch", "networking.k8s.io", "policy", "rbac.authorization.k8s.io")
_METADATA: Final = {"type": "object", "required": ["name"], "additionalProperties": False} | {
    "properties": {
        "name": {"type": "string"},
        "namespace": {"type": "string"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    }
}
_EVERYWHERE: Final = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": _METADATA}


class MissingDefinitionsError(Exception):
    """The folder of custom resource definitions is not there."""


def is_custom(found: Object) -> bool:
    group, slash, _ = found["apiVersion"].partition("/")
    return bool(slash) and group not in _NATIVE


def errors_of(found: Object) -> list[str]:
    """Return what is wrong with an object, in the words of the schemas."""
    if is_custom(found):
        return _errors_of_custom(found)
    errors = []
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(found, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            errors.append(f"Kubernetes {version}: {'.'.join(map(str, error.path))}: {error.message}")
    return errors


def definitions_folder() -> Path:
    """Return the folder named by BANDIT_CRDS, which then has to be there, or the one kept with the tests."""
    folder = Path(os.environ.get(VARIABLE, KEPT))
    if not folder.is_dir():
        raise MissingDefinitionsError(
            f"there are no custom resource definitions in {folder}: name a folder of them with {VARIABLE}"
        )
    return folder


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a structural schema as JSON Schema in which unknown fields are errors."""
    made = {key: value for key, value in schema.items() if not key.startswith("x-kubernetes-")}
    made.pop("nullable", None)
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), dict):
            made[key] = strict(made[key])
    if "properties" in made:
        made["properties"] = {name: strict(one) for name, one in made["properties"].items()}
    keeps_unknown = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in made
    if made.get("type") == "object" and not keeps_unknown:
        made["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
        made["type"] = ["integer", "string"]
    if schema.get("nullable") and "type" in made:
        made["type"] = [*([made["type"]] if isinstance(made["type"], str) else made["type"]), "null"]
    return made


def _errors_of_custom(found: Object) -> list[str]:
    validator = _validators(found["kind"]).get(found["apiVersion"])
    if validator is None:
        return [f"no definition of {found['kind']} in {found['apiVersion']}"]
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(found)]


@cache
def _validators(kind: str) -> dict[str, Draft202012Validator]:
    """Return the validators of a kind by API version. Only files that mention it are read: they are large."""
    made = {}
    for file in definitions_folder().glob("*.yaml"):
        text = file.read_text()
        if f"kind: {kind}\n" not in text:
            continue
        spec = yaml.load(text, Loader=LOADER)["spec"]  # noqa: S506 - a safe one
        if spec["names"]["kind"] != kind:
            continue
        for version in spec["versions"]:
            if version["served"]:
                schema = strict(version["schema"]["openAPIV3Schema"])
                schema["properties"] |= _EVERYWHERE
                made[f"{spec['group']}/{version['name']}"] = Draft202012Validator(schema)
    return made
