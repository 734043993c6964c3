"""Off-policy evaluation: what policies would have earned, estimated from the logs of others."""

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models.xychart import XYShowMode

from dashboards import variables
from dashboards.panels import TALL, as_unit, curves, rows
from dashboards.queries import SqlQuery

UID = "bandit-off-policy"


def dashboard() -> Dashboard:
    """Return the dashboard of the chosen data set: the newest evaluation of it by the pipeline."""
    return (
        variables.new_dashboard(
            UID, "Bandit / Off-policy", "What policies would have earned, from logs", since="now-7d"
        )
        .with_variable(variables.query_variable("dataset", "Data set", "The log that was evaluated", "datasets"))
        .with_variable(variables.query_variable("method", "Method", "The estimator that is drawn", "methods"))
        .with_panel(
            curves(
                "Estimates with their intervals",
                "Reward per decision of each policy by the chosen method: a line from the lower to the upper end of "
                "the 95% interval, with a point at the estimate. The height only keeps the policies apart.",
                SqlQuery("ope_intervals"),
                by="policy",
                x_label="reward per decision",
            ).show(XYShowMode.POINTS_AND_LINES)
        )
        .with_panel(
            rows(
                "All estimates",
                "Every policy by every method. The effective sample size (ess) says how many decisions of the policy's "
                "own would tell as much; coverage, which share of its choices the log has ever made. Read the warnings "
                "before the estimate.",
                SqlQuery("ope_estimates"),
                height=TALL,
            ).override_by_name("coverage", as_unit("percentunit", 1))
        )
        .with_panel(
            rows(
                "Where the truth is known",
                "Estimates of a policy that has a log of its own, against what it earned there: how far each method "
                "can be trusted on data like this.",
                SqlQuery("ope_errors"),
            ).override_by_name("relative_error", as_unit("percentunit", 1))
        )
    )
