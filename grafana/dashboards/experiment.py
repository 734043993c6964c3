"""One experiment: what is believed, what is done about it and why, and how far it is from its end."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from bandit_core.sample_ratio import SMALL_P_VALUE
from dashboards import variables
from dashboards.panels import REWARD, as_unit, bars, curves, figure, levels, lines, rows
from dashboards.queries import SqlQuery, series

UID = "bandit-experiment"
_OF_IT = 'experiment="$experiment"'


def dashboard() -> Dashboard:
    """Return the dashboard of the chosen experiment."""
    board = variables.new_dashboard(
        UID, "Bandit / Experiment", "One experiment: beliefs, weights, explanations, stopping rule", since="now-6h"
    )
    board = (
        board.with_variable(variables.namespace(several=False))
        .with_variable(variables.experiment(several=False))
        .annotation(variables.moments("Conclusion", "annotate_conclusions", "green"))
        .annotation(variables.moments("Change of the experiment", "annotate_changes", "blue"))
        .annotation(variables.moments("Change of weights", "annotate_allocations", "purple", shown=False))
    )
    for section in (_overview, _beliefs, _allocation, _rewards, _checks):
        board = section(board)
    return board


def _overview(board: Dashboard) -> Dashboard:
    return (
        board.with_panel(
            figure(
                "State",
                "Whether the experiment runs, is paused, concluded or archived.",
                SqlQuery("state"),
                field="status",
            )
        )
        .with_panel(
            figure(
                "Winner",
                "The arm that was announced and is served since; a dash before a conclusion.",
                SqlQuery("state"),
                field="winner",
            )
        )
        .with_panel(
            figure(
                "Decisions in 5 minutes",
                "How many requests were answered with an arm in the last 5 minutes.",
                series(f"sum(increase(bandit_decisions_total{{{_OF_IT}}}[5m]))", "decisions"),
            )
        )
        .with_panel(
            figure(
                "Stopping progress",
                "How far the experiment is from its stopping rule: 100% when the rule holds. A dash without a rule.",
                SqlQuery("progress"),
                unit="percentunit",
            ).thresholds(levels((1, "green"), base="blue"))
        )
    )


def _beliefs(board: Dashboard) -> Dashboard:
    return (
        board.with_row(Row("Beliefs"))
        .with_panel(
            curves(
                "Posterior densities",
                "The posterior of each active arm's mean reward, as of the last publication of weights. "
                "The area under each curve is 1; curves that overlap little are arms that can be told apart. "
                "At most the 20 arms that are most likely to be the best are drawn.",
                SqlQuery("densities"),
                by="arm",
                x_label="mean reward",
            )
        )
        .with_panel(
            rows(
                "Arms",
                "Decisions and rewards now; beliefs as the service computed them for the weights that are in force. "
                "Low and high bound the 95% credible interval. Retired arms cannot be best. Means and losses are in "
                "what rewards are sent in: 0.0149 is 1.49% where a reward is 0 or 1.",
                SqlQuery("arms"),
            )
            .override_by_regexp("mean|low|high|expected_loss", as_unit(REWARD, 4))
            .override_by_regexp("prob_best|weight", as_unit("percentunit", 1))
        )
        .with_panel(
            lines(
                "P(best)",
                "Probability that each arm is the best of those that can be served, as the service publishes it.",
                series(f"max by (arm) (bandit_arm_prob_best{{{_OF_IT}}})", "{{arm}}"),
                unit="percentunit",
            )
            .min(0)
            .max(1)
        )
        .with_panel(
            lines(
                "Expected loss",
                "Expected reward given up by always choosing the arm, in what rewards are sent in. The stopping rule "
                "looks at the smallest.",
                series(f"max by (arm) (bandit_arm_expected_loss{{{_OF_IT}}})", "{{arm}}"),
                unit=REWARD,
            ).min(0)
        )
    )


def _allocation(board: Dashboard) -> Dashboard:
    return (
        board.with_row(Row("Allocation"))
        .with_panel(
            lines(
                "Weights",
                "Share of the traffic given to each arm. A version is published when the weights changed materially; a "
                "weight holds until the next one replaces it.",
                SqlQuery("weights", format_="time_series"),
                unit="percentunit",
                steps=True,
            )
            .min(0)
            .max(1)
        )
        .with_panel(
            bars(
                "Stopping rule",
                "How far each condition of the rule had come at the last publication of weights. P(best) counts in "
                "log-odds from equal chances to the threshold, expected loss by its inverse square, so that both grow "
                "about as the data does.",
                SqlQuery("conditions"),
                field="progress",
            ).thresholds(levels((1, "green"), base="blue"))
        )
        .with_panel(
            rows(
                "Why the weights changed",
                "Every published change of the weights with its explanation, the newest first.",
                SqlQuery("allocations"),
            )
        )
        .with_panel(
            rows(
                "Changes of the experiment",
                "Who changed what about the experiment and why, the newest first.",
                SqlQuery("changes"),
            )
        )
    )


def _rewards(board: Dashboard) -> Dashboard:
    return (
        board.with_row(Row("Rewards"))
        .with_panel(
            lines(
                "Mean reward",
                "Mean of the rewards that entered the posterior, by the time of their decision: an interval is "
                "complete once the rewards of its decisions have come in.",
                SqlQuery("mean_rewards", format_="time_series"),
                unit=REWARD,
            )
        )
        .with_panel(
            lines(
                "Rewards by what became of them",
                "Applied rewards enter the posterior; duplicates were reported before; queued ones are decided once "
                "Postgres has them; late ones came after their window; ignored outcomes stand for no reward.",
                series(f"sum by (status) (rate(bandit_rewards_total{{{_OF_IT}}}[$__rate_interval]))", "{{status}}"),
                unit="cps",
            )
        )
    )


def _checks(board: Dashboard) -> Dashboard:
    return (
        board.with_row(Row("Checks"))
        .with_panel(
            lines(
                "Decisions",
                "Decisions per second by arm and stratum: only those of the bandit stratum are learned from.",
                series(
                    f"sum by (arm, stratum) (rate(bandit_decisions_total{{{_OF_IT}}}[$__rate_interval]))",
                    "{{arm}}, {{stratum}}",
                ),
                unit="cps",
            )
        )
        .with_panel(
            rows(
                "Sample ratio",
                "Draws of each arm against the propensities they were logged with: the inverse propensities of an "
                "arm's draws (represented) are expected to add up to the draws of all arms (expected). The p-value may "
                f"be looked at at any time; the alert fires below {SMALL_P_VALUE}.",
                SqlQuery("sample_ratio"),
                span=12,
            ).override_by_name("difference", as_unit("percentunit", 2))
        )
    )
