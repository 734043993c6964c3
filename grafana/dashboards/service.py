"""The decision service: rate, errors, duration, and what it goes on without."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from dashboards import variables
from dashboards.panels import Target, figure, levels, lines
from dashboards.queries import latest, series

UID = "bandit-service"


def dashboard() -> Dashboard:
    """Return the dashboard of all replicas together."""
    board = variables.new_dashboard(
        UID, "Bandit / Service", "The decision service: rate, errors, duration, lag, what is degraded", since="now-3h"
    )
    for section in (_health, _requests, _events, _process):
        board = section(board)
    return board


def _health(board: Dashboard) -> Dashboard:
    return (
        board.with_panel(
            figure(
                "Degraded",
                "1 while at least one replica goes on without that part: it does not answer, or does not take what it "
                "has to (read-only, full, refused by a rule).",
                latest("max by (part) (bandit_degraded)", "{{part}}"),
                span=12,
            ).thresholds(levels((1, "red")))
        )
        .with_panel(
            figure(
                "Ledger lag",
                "Age of the oldest event that is not yet in Postgres, of the slowest replica.",
                latest("max(bandit_ledger_lag_seconds)", "lag"),
                unit="s",
            ).thresholds(levels((60, "orange"), (300, "red")))
        )
        .with_panel(
            figure(
                "Replicas", "Processes that Prometheus scrapes.", latest("count(bandit_ledger_lag_seconds)", "replicas")
            )
        )
    )


def _requests(board: Dashboard) -> Dashboard:
    return (
        board.with_row(Row("Requests"))
        .with_panel(
            lines(
                "Rate",
                "Requests per second of each fast endpoint.",
                series("sum by (endpoint) (rate(bandit_request_seconds_count[$__rate_interval]))", "{{endpoint}}"),
                unit="reqps",
            )
        )
        .with_panel(
            lines(
                "Errors",
                "Share of the requests answered with a status of 400 and up, by status. 503 says that neither "
                "store answers, 429 that the service or a client is overloaded; 404, 409 and 410 are the callers' own.",
                series(
                    'sum by (status) (rate(bandit_request_seconds_count{status=~"[45].."}[$__rate_interval])) '
                    "/ scalar(sum(rate(bandit_request_seconds_count[$__rate_interval])))",
                    "{{status}}",
                ),
                unit="percentunit",
            ).min(0)
        )
        .with_panel(
            lines(
                "Duration of /select",
                "Quantiles of the time to answer, measured inside the service, to the resolution of its buckets.",
                *(_quantile(share, "/select", ref) for share, ref in ((0.5, "A"), (0.95, "B"), (0.99, "C"))),
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Duration of /reward",
                "Quantiles of the time to answer, measured inside the service, to the resolution of its buckets.",
                *(_quantile(share, "/reward", ref) for share, ref in ((0.5, "A"), (0.95, "B"), (0.99, "C"))),
                unit="s",
            )
        )
    )


def _events(board: Dashboard) -> Dashboard:
    return (
        board.with_row(Row("Events"))
        .with_panel(
            lines(
                "Ledger lag by replica",
                "Age of the oldest event that is not yet in Postgres.",
                series("bandit_ledger_lag_seconds", "{{instance}}"),
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Events on their way",
                "Events that Postgres does not have yet, and those that are kept for a minute after it took them, of "
                "all replicas.",
                series("sum(bandit_events_waiting)", "not yet in Postgres", "A"),
                series("sum(bandit_events_kept)", "kept for a minute", "B"),
            )
        )
        .with_panel(
            lines(
                "Rewards queued",
                "Rewards answered with 202 because Postgres did not answer in time, or because the client asked for "
                "it, per second. They are decided once Postgres has them.",
                series('sum(rate(bandit_rewards_total{status="queued"}[$__rate_interval]))', "queued"),
                unit="cps",
            )
        )
        .with_panel(
            lines(
                "Decisions not kept",
                "Decisions served while both stores were away for which there was no room left, per second.",
                series("sum(rate(bandit_decisions_dropped_total[$__rate_interval]))", "dropped"),
                unit="cps",
            )
        )
        .with_panel(
            lines(
                "Degraded over time",
                "Which parts were away, and for how long.",
                series("max by (part) (bandit_degraded)", "{{part}}"),
                steps=True,
            )
            .min(0)
            .max(1)
        )
    )


def _process(board: Dashboard) -> Dashboard:
    return (
        board.with_row(Row("Processes"))
        .with_panel(
            lines(
                "Processor",
                "Processor seconds used per second, by replica.",
                series(
                    "rate(process_cpu_seconds_total[$__rate_interval]) and on (instance) bandit_ledger_lag_seconds",
                    "{{instance}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Memory",
                "Resident memory, by replica.",
                series("process_resident_memory_bytes and on (instance) bandit_ledger_lag_seconds", "{{instance}}"),
                unit="bytes",
            )
        )
    )


def _quantile(share: float, endpoint: str, ref_id: str) -> Target:
    buckets = f'sum by (le) (rate(bandit_request_seconds_bucket{{endpoint="{endpoint}"}}[$__rate_interval]))'
    return series(f"histogram_quantile({share}, {buckets})", f"{share:.0%}", ref_id)
