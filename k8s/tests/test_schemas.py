"""Every overlay builds, and every object in it is one the API server takes without a warning."""

import copy
from pathlib import Path
from typing import Any

import pytest
from manifests import BANDIT, EVERYTHING, OVERLAYS, Object, objects, of_path, substituted
from schemas import VARIABLE, MissingDefinitionsError, definitions_folder, errors_of, is_custom, strict


@pytest.fixture(scope="module")
def definitions() -> Path:
    """The folder of custom resource definitions."""
    return definitions_folder()


def wrong(found: list[Object]) -> dict[str, list[str]]:
    return {f"{each['kind']}/{each['metadata']['name']}": errors for each in found if (errors := errors_of(each))}


@pytest.mark.parametrize("name", EVERYTHING)
def test_an_overlay_builds_to_valid_objects(name: str) -> None:
    native = [each for each in objects(name) if not is_custom(each)]
    assert native
    assert not wrong(native)


@pytest.mark.parametrize("name", EVERYTHING)
def test_its_custom_resources_are_valid(name: str, definitions: Path) -> None:
    assert definitions.is_dir()
    assert not wrong([each for each in objects(name) if is_custom(each)])


def test_the_stages_of_flux_are_valid(definitions: Path) -> None:
    assert definitions.is_dir()
    assert not wrong(list(of_path(BANDIT / "ks.yaml")))


def test_every_folder_of_overlays_is_among_them() -> None:
    folders = {str(path.parent.relative_to(OVERLAYS)) for path in OVERLAYS.rglob("kustomization.yaml")}
    assert folders == {name for name in EVERYTHING if "/" in name}


def test_an_unknown_field_is_an_error(definitions: Path) -> None:
    assert definitions.is_dir()
    for name, kind in (("flux/service", "Deployment"), ("flux/router", "SeldonDeployment")):
        [found] = [copy.deepcopy(each) for each in objects(name) if each["kind"] == kind]
        found["spec"]["replicaz"] = 2
        assert "replicaz" in str(errors_of(found))


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"x-kubernetes-int-or-string": True}, [1, "10%"], [1.5, None]),
        ({"type": "string", "nullable": True}, ["a", None], [1]),
        ({"type": "object", "properties": {"a": {"type": "integer"}}}, [{}, {"a": 1}], [{"b": 1}]),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, [{"b": 1}], ["b"]),
        ({"type": "object", "additionalProperties": {"type": "string"}}, [{"b": "1"}], [{"b": 1}]),
        ({"type": "array", "items": {"type": "object", "properties": {}}}, [[{}]], [[{"a": 1}]]),
    ],
)
def test_structural_schemas_become_strict_ones(schema: dict[str, Any], good: list[Any], bad: list[Any]) -> None:
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(strict(schema))
    assert all(validator.is_valid(each) for each in good)
    assert not any(validator.is_valid(each) for each in bad)


def test_a_named_folder_of_definitions_has_to_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(MissingDefinitionsError, match="nowhere"):
        definitions_folder()


def test_variables_are_put_in_as_flux_does_it() -> None:
    found: Object = {"metadata": {"name": "a"}, "data": {"x": "${HERE:=1}/${THERE:=two}/$1", "y": "${HERE:=1}"}}
    assert substituted(found, {"THERE": "3"})["data"] == {"x": "1/3/$1", "y": 1}
    found["metadata"]["annotations"] = {"kustomize.toolkit.fluxcd.io/substitute": "disabled"}
    assert substituted(found, {}) == found
    with pytest.raises(KeyError, match="LOST"):
        substituted({"metadata": {"name": "a"}, "data": "${LOST}"}, {})
