"""What NetworkPolicies allow: both ends have to, as far as a policy selects them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from manifests import Object


@dataclass(frozen=True)
class Party:
    """Pods that are alike, and the labels of their namespace besides its name."""

    namespace: str
    labels: Mapping[str, str]
    namespace_labels: Mapping[str, str]

    @property
    def of_namespace(self) -> Mapping[str, str]:
        return {"kubernetes.io/metadata.name": self.namespace, **self.namespace_labels}


def allows(policies: Sequence[Object], source: Party, target: Party, port: int) -> bool:
    return _passes(policies, "Egress", source, target, port) and _passes(policies, "Ingress", target, source, port)


def is_selected(policies: Sequence[Object], party: Party, direction: str) -> bool:
    return bool(_selecting(policies, direction, party))


def _passes(policies: Sequence[Object], direction: str, own: Party, peer: Party, port: int) -> bool:
    selecting = _selecting(policies, direction, own)
    rules, peers = ("egress", "to") if direction == "Egress" else ("ingress", "from")
    return not selecting or any(
        _has_port(rule, port) and any(_is_peer(each, policy, peer) for each in rule[peers])
        for policy in selecting
        for rule in policy["spec"].get(rules, [])
    )


def _selecting(policies: Sequence[Object], direction: str, party: Party) -> list[Object]:
    return [
        policy
        for policy in policies
        if policy["metadata"]["namespace"] == party.namespace
        and direction in policy["spec"]["policyTypes"]
        and _matches(policy["spec"]["podSelector"], party.labels)
    ]


def _has_port(rule: Object, port: int) -> bool:
    return any(each["port"] == port and each.get("protocol", "TCP") == "TCP" for each in rule["ports"])


def _is_peer(peer: Object, policy: Object, party: Party) -> bool:
    if "namespaceSelector" in peer:
        in_namespace = _matches(peer["namespaceSelector"], party.of_namespace)
    else:
        in_namespace = policy["metadata"]["namespace"] == party.namespace
    return in_namespace and _matches(peer.get("podSelector", {}), party.labels)


def _matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    expressions = selector.get("matchExpressions", [])
    if any(each["operator"] != "In" for each in expressions):
        raise NotImplementedError("only the operator In is understood here")
    return labels.items() >= selector.get("matchLabels", {}).items() and all(
        labels.get(each["key"]) in each["values"] for each in expressions
    )
