"""Write the schemas of the custom resources in use into `definitions`, from a folder of full definitions.

`PYTHONPATH=k8s/tests python k8s/tests/keep_definitions.py FOLDER`. What the tests do not evaluate is left out: texts
and rules written in CEL. Whole definitions are thirty times as large.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml
from manifests import BANDIT, EVERYTHING, LOADER, objects, of_path
from schemas import KEPT, is_custom

HEADER = "# From {source}, written by keep_definitions.py.\n"
UNUSED = ("description", "x-kubernetes-validations")


def main(folder: Path) -> None:
    found = [*(each for name in EVERYTHING for each in objects(name)), *of_path(BANDIT / "ks.yaml")]
    used = {(each["apiVersion"], each["kind"]) for each in found if is_custom(each)}
    sources = dict(re.findall(r"^\| (\S+\.yaml) \|.*\| (\S+/\S+ \| \S+ \(\w+\))", _readme(folder), re.MULTILINE))
    for file in sorted(folder.glob("*.yaml")):
        spec = yaml.load(file.read_text(), Loader=LOADER)["spec"]  # noqa: S506 - a safe one
        group, kind = spec["group"], spec["names"]["kind"]
        versions = [each for each in spec["versions"] if (f"{group}/{each['name']}", kind) in used]
        if versions:
            header = HEADER.format(source=sources.get(file.name, "an unnamed source").replace(" |", ""))
            (KEPT / file.name).write_text(header + _written(group, kind, versions))


def _readme(folder: Path) -> str:
    file = folder / "README.md"
    return file.read_text() if file.exists() else ""


def _written(group: str, kind: str, versions: list[dict[str, Any]]) -> str:
    lines = ["spec:", f"  group: {group}", "  names:", f"    kind: {kind}", "  versions:"]
    for each in versions:
        schema = json.dumps(_without_texts(each["schema"]["openAPIV3Schema"]), separators=(", ", ": "))
        served = str(each["served"]).lower()
        lines += [f"  - name: {each['name']}", f"    served: {served}", f"    schema: {{openAPIV3Schema: {schema}}}"]
    return "\n".join(lines) + "\n"


def _without_texts(schema: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in schema.items() if key not in UNUSED}
    for key in ("items", "additionalProperties"):
        if isinstance(kept.get(key), dict):
            kept[key] = _without_texts(kept[key])
    if "properties" in kept:
        kept["properties"] = {name: _without_texts(one) for name, one in kept["properties"].items()}
    return kept


if __name__ == "__main__":
    main(Path(sys.argv[1]))
