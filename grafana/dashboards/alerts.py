"""Alert rules: on metrics as a group of Prometheus rules, on what only Postgres knows as rules of Grafana itself."""

import json
from dataclasses import dataclass
from typing import Any, Final, Literal

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from bandit_core.findings import CRITICAL as CRITICAL_ENTROPY
from bandit_core.sample_ratio import SMALL_P_VALUE
from dashboards.datasources import POSTGRES
from dashboards.queries import SqlQuery

_EXPRESSION = "__expr__"
_BANDIT = 'sum by (experiment) (increase(bandit_decisions_total{stratum="bandit"}[%s]))'


@dataclass(frozen=True, slots=True)
class PrometheusRule:
    """Fires once `expr` has answered something for `holds` (a Prometheus duration)."""

    alert: str
    expr: str
    holds: str
    severity: Literal["critical", "warning", "info"]
    summary: str
    description: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "alert": self.alert,
            "expr": self.expr,
            "for": self.holds,
            "labels": {"severity": self.severity},
            "annotations": {"summary": self.summary, "description": self.description},
        }


RULES: Final = (
    PrometheusRule(
        alert="BanditDegraded",
        expr="max by (part) (bandit_degraded) > 0",
        holds="2m",
        severity="critical",
        summary="The decision service goes on without {{ $labels.part }}",
        description=(
            "Decisions are still answered. Without redis everything goes on through Postgres; without postgres the "
            "spool in Redis grows, rewards are queued, nothing is learned and experiments cannot be changed. Without "
            "both, rewards are refused with 503 and decisions wait in memory."
        ),
    ),
    PrometheusRule(
        alert="BanditLedgerLag",
        expr="max(bandit_ledger_lag_seconds) > 60",
        holds="5m",
        severity="warning",
        summary="Events reach Postgres {{ $value | humanizeDuration }} late",
        description="The spool grows until Postgres takes the events: look at Postgres, and at the memory of Redis.",
    ),
    PrometheusRule(
        alert="BanditErrors",
        expr=(
            'sum(rate(bandit_request_seconds_count{status=~"5.."}[5m])) / sum(rate(bandit_request_seconds_count[5m]))'
            " > 0.01"
        ),
        holds="5m",
        severity="critical",
        summary="{{ $value | humanizePercentage }} of the requests are answered with 5xx",
        description="503 means that neither store answers; 500 is a fault: see the logs.",
    ),
    PrometheusRule(
        alert="BanditSlow",
        expr=(
            'histogram_quantile(0.99, sum by (le) (rate(bandit_request_seconds_bucket{endpoint="/select"}[5m]))) > 0.05'
        ),
        holds="10m",
        severity="warning",
        summary="One decision in a hundred takes longer than {{ $value | humanizeDuration }}",
        description="Look at the processors of the replicas, at the store, and at the number of replicas.",
    ),
    PrometheusRule(
        alert="BanditEntropyCollapse",
        expr=(
            f"max by (experiment) (bandit_weight_entropy) < {CRITICAL_ENTROPY} "
            f"and on (experiment) {_BANDIT % '15m'} > 0"
        ),
        holds="1h",
        severity="info",
        summary="Experiment {{ $labels.experiment }} gives nearly all of its traffic to one arm",
        description=(
            "The entropy of its weights is {{ $value | humanizePercentage }} of the largest possible. It learns next "
            "to nothing about the other arms any more: conclude it, or set min_weight."
        ),
    ),
    PrometheusRule(
        alert="BanditNoRewards",
        expr=(
            f"{_BANDIT % '6h'} > 100 unless on (experiment) "
            'sum by (experiment) (increase(bandit_rewards_total{status=~"applied|ignored|queued"}[6h])) > 0'
        ),
        holds="30m",
        severity="warning",
        summary="Experiment {{ $labels.experiment }} has had no reward for 6 hours",
        description=(
            "{{ $value }} decisions were served in that time. A client has stopped reporting, or reports on other "
            "decisions. Rewards that take longer than 6 hours by nature raise it as well: silence it for those."
        ),
    ),
)


def prometheus_rules() -> dict[str, Any]:
    """Return the rule group, as a Prometheus loads it."""
    return {"groups": [{"name": "bandit", "rules": [rule.to_dict() for rule in RULES]}]}


def prometheus_operator_rule() -> dict[str, Any]:
    """Return the rule group as the resource that Prometheus' operator looks for."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {
            "name": "bandit",
            # The templates of alerts are full of dollars: they are none of Flux's variables.
            "annotations": {"kustomize.toolkit.fluxcd.io/substitute": "disabled"},
        },
        "spec": prometheus_rules(),
    }


def grafana_rules() -> dict[str, Any]:
    """Return the provisioning file of the rules that Grafana evaluates against Postgres."""
    return {
        "apiVersion": 1,
        "groups": [
            {"orgId": 1, "name": "bandit", "folder": "Bandit", "interval": "5m", "rules": [_sample_ratio_mismatch()]}
        ],
    }


def _sample_ratio_mismatch() -> dict[str, Any]:
    query = SqlQuery("sample_ratio_alert").build()
    return {
        "uid": "bandit-sample-ratio-mismatch",
        "title": "BanditSampleRatioMismatch",
        "condition": "B",
        "for": "10m",
        "data": [
            _step("A", str(POSTGRES.uid), json.loads(json.dumps(query, cls=JSONEncoder))),
            _step("B", _EXPRESSION, _below("A", SMALL_P_VALUE)),
        ],
        "noDataState": "OK",
        "execErrState": "Error",
        "labels": {"severity": "warning"},
        "annotations": {
            "summary": "Experiment {{ $labels.experiment }} does not serve the arms as its weights say",
            "description": (
                "An arm is drawn more often than the logged propensities say (p-value {{ $values.A.Value }}). "
                "Estimates from these decisions are not to be trusted until the cause is known. The test covers all "
                "decisions of the experiment, so silence the alert once the cause is mended."
            ),
        },
    }


def _step(ref_id: str, datasource_uid: str, model: dict[str, Any]) -> dict[str, Any]:
    return {
        "refId": ref_id,
        "relativeTimeRange": {"from": 21_600, "to": 0},
        "datasourceUid": datasource_uid,
        "model": model,
    }


def _below(ref_id: str, limit: float) -> dict[str, Any]:
    return {
        "refId": "B",
        "type": "threshold",
        "datasource": {"type": _EXPRESSION, "uid": _EXPRESSION},
        "expression": ref_id,
        "conditions": [{"evaluator": {"type": "lt", "params": [limit]}}],
    }
