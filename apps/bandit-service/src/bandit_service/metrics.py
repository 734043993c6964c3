"""What Prometheus scrapes. Gauges per arm come only from the process that holds the experiment's lease."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bandit_core.findings import selection_entropy
from bandit_core.rules.allocation_record import AllocationRecord

# Each series costs memory here and in Prometheus. What is beyond these bounds is counted together, as OTHER.
EXPERIMENTS = 200
ARMS_PER_EXPERIMENT = 20
OTHER = "(other)"
# Names here are plain, so the older format, which every Prometheus reads, says everything.
MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class _Shown(NamedTuple):
    """What is shown of an experiment: the allocation in force and the posterior mean of each arm."""

    record: AllocationRecord
    means: Mapping[str, float]


class BeliefsCollector(Collector):
    """Makes the gauges of experiments when they are scraped, which is far less often than weights are published."""

    def __init__(self) -> None:
        self._shown: dict[str, _Shown] = {}

    def show(self, experiment: str, record: AllocationRecord, means: Mapping[str, float]) -> None:
        """Show an experiment from now on, unless as many as may be are shown."""
        if experiment in self._shown or len(self._shown) < EXPERIMENTS:
            self._shown[experiment] = _Shown(record, means)

    def forget(self, experiment: str) -> None:
        self._shown.pop(experiment, None)

    def collect(self) -> Iterator[Metric]:
        entropy = GaugeMetricFamily(
            "bandit_weight_entropy", "Entropy of the weights, of the largest possible", labels=["experiment"]
        )
        weight = _by_arm("bandit_arm_weight", "Published weight")
        mean = _by_arm("bandit_arm_posterior_mean", "Posterior mean of the reward")
        prob_best = _by_arm("bandit_arm_prob_best", "Probability that the arm is the best")
        loss = _by_arm("bandit_arm_expected_loss", "Expected loss of choosing the arm")
        for experiment, (record, means) in list(self._shown.items()):
            entropy.add_metric([experiment], selection_entropy(list(record.weights.values())) or 0.0)
            for arm in islice(record.weights, ARMS_PER_EXPERIMENT):
                labels = [experiment, arm]
                weight.add_metric(labels, record.weights[arm])
                mean.add_metric(labels, means[arm])
                prob_best.add_metric(labels, record.prob_best[arm])
                loss.add_metric(labels, record.expected_loss[arm])
        yield from (entropy, weight, mean, prob_best, loss)


def _by_arm(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=["experiment", "arm"])


class Metrics:
    """Every metric of the service, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        labels = ("experiment", "arm")
        self._decisions = self._counter("bandit_decisions", "Decisions served", (*labels, "stratum"))
        self._rewards = self._counter("bandit_rewards", "Rewards by what became of them", (*labels, "status"))
        self.dropped = self._counter("bandit_decisions_dropped", "Decisions served but not kept: no room", ())
        self.rate_limited = self._counter(
            "bandit_requests_rate_limited",
            "Requests refused: their API key asks for too much",
            ("key",),
        )
        self.connections_cut = self._counter(
            "bandit_connections_cut", "Connections ended or turned away because of what their client did", ("reason",)
        )
        self.requests = Histogram(
            "bandit_request_seconds",
            "Time to answer a request of a fast endpoint",
            ("endpoint", "status"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._beliefs = BeliefsCollector()
        self.registry.register(self._beliefs)
        self.ledger_lag = self._gauge("bandit_ledger_lag_seconds", "Age of the oldest event not yet in Postgres", ())
        self.waiting = self._gauge("bandit_events_waiting", "Events that Postgres does not have yet", ())
        self.kept = self._gauge("bandit_events_kept", "Events kept for a minute after Postgres took them", ())
        self.degraded = self._gauge("bandit_degraded", "1 while the part named does not do its work", ("part",))
        self._children: dict[tuple[str, ...], Counter] = {}
        self._counted: dict[str, set[str]] = {}

    def decided(self, experiment: str, arm: str, stratum: str) -> None:
        self._child(self._decisions, "d", experiment, arm, stratum).inc()

    def rewarded(self, experiment: str, arm: str, status: str) -> None:
        self._child(self._rewards, "r", experiment, arm, status).inc()

    def beliefs(self, experiment: str, record: AllocationRecord, means: Mapping[str, float]) -> None:
        """Show an allocation and the posterior means, of an experiment whose lease this process holds.

        At most 20 of its arms are shown, the first ones, and at most 200 experiments.
        """
        self._beliefs.show(experiment, record, means)

    def forget(self, experiment: str) -> None:
        """Stop showing an experiment whose lease went to another process."""
        self._beliefs.forget(experiment)

    def render(self) -> bytes:
        return generate_latest(self.registry)

    def _child(self, counter: Counter, *key: str) -> Counter:
        child = self._children.get(key)
        if child is None:
            _, experiment, arm, kind = key
            child = self._children[key] = counter.labels(*self._bounded(experiment, arm), kind)
        return child

    def _bounded(self, experiment: str, arm: str) -> tuple[str, str]:
        """Return the labels that an arm is counted under."""
        if experiment not in self._counted and len(self._counted) >= EXPERIMENTS:
            return OTHER, OTHER
        arms = self._counted.setdefault(experiment, set())
        if arm not in arms and len(arms) >= ARMS_PER_EXPERIMENT:
            return experiment, OTHER
        arms.add(arm)
        return experiment, arm

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...]) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)
