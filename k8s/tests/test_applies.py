"""Applied a second time, the overlays change nothing: they build alike, and the API server fills nothing in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any, Final

import pytest
import yaml
from manifests import DEPENDENCIES, FLUX, KUBECTL, LOADER, OVERLAYS, built_by_kustomize, objects, of_path
from schemas import definitions_folder, is_custom

EVERYWHERE: Final = (*FLUX, *KUBECTL, DEPENDENCIES)
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40}
_QUANTITY: Final = re.compile(r"([0-9.]+)(m|Ki|Mi|Gi|Ti)?")
_OF_QUANTITIES: Final = frozenset({"requests", "limits"})
_QUANTITIES: Final = frozenset({"sizeLimit", "averageValue", "size"})


def canonical(quantity: str) -> str:
    """Return a quantity as the API server writes it."""
    found = _QUANTITY.fullmatch(quantity)
    assert found, quantity
    number, suffix = Decimal(found[1]), found[2] or ""
    if suffix in _BINARY:
        whole = int(number * 2 ** _BINARY[suffix])
        best = max((power for power in _BINARY.values() if whole % 2**power == 0), default=0)
        return f"{whole >> best}{next((name for name, power in _BINARY.items() if power == best), '')}"
    thousandths = int(number * (1 if suffix == "m" else 1_000))
    return f"{thousandths // 1_000}" if thousandths % 1_000 == 0 else f"{thousandths}m"


def quantities(node: Any) -> Iterator[str]:
    match node:
        case dict():
            for name, value in node.items():
                if name in _OF_QUANTITIES and isinstance(value, dict):
                    yield from (str(each) for each in value.values())
                elif name in _QUANTITIES and isinstance(value, str):
                    yield value
                else:
                    yield from quantities(value)
        case list():
            for each in node:
                yield from quantities(each)


@pytest.mark.parametrize(
    ("given", "written"),
    [("1000m", "1"), ("0.5", "500m"), ("1024Mi", "1Gi"), ("1536Mi", "1536Mi"), ("250m", "250m"), ("20Gi", "20Gi")],
)
def test_quantities_as_the_server_writes_them(given: str, written: str) -> None:
    assert canonical(given) == written


@pytest.mark.parametrize("name", EVERYWHERE)
def test_quantities_are_canonical(name: str) -> None:
    for found in objects(name):
        for quantity in quantities(found):
            assert quantity == canonical(quantity), found["metadata"]["name"]


@pytest.mark.parametrize("name", EVERYWHERE)
def test_an_overlay_builds_alike_twice(name: str) -> None:
    assert built_by_kustomize.__wrapped__(name) == built_by_kustomize(name)


@pytest.mark.parametrize("overlays", [FLUX, KUBECTL], ids=["flux", "kubectl"])
def test_no_two_stages_apply_one_object(overlays: tuple[str, ...]) -> None:
    known = Counter(
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
        for name in overlays
        for each in objects(name)
    )
    assert not [one for one, times in known.items() if times > 1]


def test_the_namespace_is_the_same_in_both_applies() -> None:
    """It is applied by itself, for the secrets, and then with the first stage."""
    [alone] = of_path(OVERLAYS / "kubectl" / "migrations" / "namespace.yaml")
    assert alone in objects("kubectl/migrations")


@cache
def schema_of(kind: str, version: str) -> dict[str, Any]:
    for file in definitions_folder().glob("*.yaml"):
        spec = yaml.load(file.read_text(), Loader=LOADER)["spec"]  # noqa: S506 - a safe one
        if spec["names"]["kind"] == kind:
            [found] = [each["schema"] for each in spec["versions"] if each["name"] == version]
            schema: dict[str, Any] = found["openAPIV3Schema"]
            return schema
    raise AssertionError(f"no definition of {kind}")


def filled_in(node: Any, schema: dict[str, Any], place: str = "", *, in_list: bool = False) -> Iterator[str]:
    """Yield what the API server would add within lists: kubectl replaces those of custom resources as a whole."""
    match node:
        case dict():
            for name, field in schema.get("properties", {}).items():
                if name in node:
                    yield from filled_in(node[name], field, f"{place}.{name}", in_list=in_list)
                elif in_list and "default" in field:
                    yield f"{place}.{name}"
        case list():
            for each in node:
                yield from filled_in(each, schema.get("items", {}), f"{place}[]", in_list=True)


@pytest.mark.parametrize("name", [*KUBECTL, DEPENDENCIES])
def test_lists_of_custom_resources_are_whole(name: str) -> None:
    for found in filter(is_custom, objects(name)):
        schema = schema_of(found["kind"], found["apiVersion"].rpartition("/")[2])
        assert not list(filled_in(found, schema)), found["metadata"]["name"]
