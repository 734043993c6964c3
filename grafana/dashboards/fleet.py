"""All experiments: their states, leaders and traffic."""

from grafana_foundation_sdk.builders.common import ReduceDataOptions
from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards import experiment, variables
from dashboards.panels import REWARD, TALL, as_unit, bars, figure, lines, link_to, rows
from dashboards.queries import SqlQuery, latest, series

UID = "bandit-fleet"
_THOSE = 'experiment=~"$experiment"'
_ONE = f"/d/{experiment.UID}?var-namespace=${{__data.fields.namespace}}&var-experiment=${{__value.raw}}"


def dashboard() -> Dashboard:
    """Return the dashboard of the chosen namespaces."""
    return (
        variables.new_dashboard(UID, "Bandit / Fleet", "All experiments: states, leaders, traffic", since="now-24h")
        .with_variable(variables.namespace(several=True))
        .with_variable(variables.experiment(several=True))
        .annotation(variables.moments("Conclusion", "annotate_fleet_conclusions", "green"))
        .with_panel(
            figure(
                "Experiments by state", "How many experiments are in each state.", SqlQuery("fleet_states"), span=24
            ).reduce_options(ReduceDataOptions().values(values=True))
        )
        .with_panel(
            rows(
                "Experiments",
                "Decisions, rewards and the arm with the highest posterior mean, as of the last snapshot (counted_at). "
                "Click on a name for its dashboard.",
                SqlQuery("fleet"),
                height=TALL,
            )
            .override_by_name("experiment", link_to(_ONE, "Open the experiment"))
            .override_by_name("best_mean", as_unit(REWARD, 4))
        )
        .with_panel(
            bars(
                "Leaders",
                "The arm with the highest P(best) of each experiment that a replica looks after, and that P(best).",
                latest(
                    f"topk by (experiment) (1, max by (experiment, arm) (bandit_arm_prob_best{{{_THOSE}}}))",
                    "{{experiment}}: {{arm}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Entropy of the weights",
                "1 when all arms get the same share of the traffic, 0 when one arm gets all of it.",
                series(f"max by (experiment) (bandit_weight_entropy{{{_THOSE}}})", "{{experiment}}"),
            )
            .min(0)
            .max(1)
        )
        .with_panel(
            lines(
                "Decisions",
                "Decisions per second of each experiment.",
                series(
                    f"sum by (experiment) (rate(bandit_decisions_total{{{_THOSE}}}[$__rate_interval]))",
                    "{{experiment}}",
                ),
                unit="cps",
            )
        )
        .with_panel(
            lines(
                "Rewards",
                "Rewards per second that entered a posterior, of each experiment.",
                series(
                    f'sum by (experiment) (rate(bandit_rewards_total{{{_THOSE}, status="applied"}}[$__rate_interval]))',
                    "{{experiment}}",
                ),
                unit="cps",
            )
        )
        .with_panel(
            lines(
                "Least expected loss",
                "Expected reward given up by choosing the best arm of each experiment now, in what its rewards are "
                "sent in: it falls as data comes in.",
                series(f"min by (experiment) (bandit_arm_expected_loss{{{_THOSE}}})", "{{experiment}}"),
                unit=REWARD,
            ).min(0)
        )
        .with_panel(
            rows(
                "Conclusions",
                "Experiments that were concluded in the range, by whom and why.",
                SqlQuery("fleet_conclusions"),
                span=12,
            )
        )
    )
