"""The files that a Grafana and a Prometheus load, from the code beside this."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards import alerts, datasources, experiment, fleet, off_policy, service

FOLDER: Final = Path(__file__).parent.parent / "generated"
DASHBOARDS: Final[Mapping[str, Callable[[], Dashboard]]] = {
    "experiment": experiment.dashboard,
    "fleet": fleet.dashboard,
    "off-policy": off_policy.dashboard,
    "service": service.dashboard,
}
_HEADER = "# Written by `make dashboards` from grafana/dashboards: change that.\n"


def generated() -> dict[str, str]:
    """Return the text of every generated file by its path in `generated/`."""
    encoder = JSONEncoder(indent=2, ensure_ascii=False)
    boards = {f"dashboards/{name}.json": encoder.encode(board().build()) + "\n" for name, board in DASHBOARDS.items()}
    return boards | {
        "datasources.yaml": _yaml(datasources.provisioning()),
        "grafana-alerts.yaml": _yaml(alerts.grafana_rules()),
        "prometheus-rules.yaml": _yaml(alerts.prometheus_rules()),
        "prometheusrule.yaml": _yaml(alerts.prometheus_operator_rule()),
    }


def write(folder: Path = FOLDER) -> list[Path]:
    """Write every file whose text has changed, and return those."""
    changed = []
    for name, text in generated().items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            changed.append(path)
    return changed


class _Dumper(yaml.SafeDumper):
    """Shows SQL as lines."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def _yaml(document: dict[str, Any]) -> str:
    return _HEADER + yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
