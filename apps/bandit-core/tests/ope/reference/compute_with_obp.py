"""Compute the reference values that test_obp_agreement.py compares with, by the real Open Bandit Pipeline.

How it was run: in an environment of its own, outside the project's, with Python 3.12,

    python -m venv obp-reference
    obp-reference/bin/pip install --no-deps --ignore-requires-python obp==0.5.7
    obp-reference/bin/pip install "numpy<2.3" "pandas<2.3" scipy scikit-learn matplotlib seaborn tqdm pyyaml
    obp-reference/bin/python apps/bandit-core/tests/ope/reference/compute_with_obp.py

obp imports torch for its policy learners only, which are not used here. Where torch is not installed, an empty stand-in
takes its place in this process; nothing of what is computed here touches it.

For each campaign one file, obp-CAMPAIGN.npz, with both directions: random → bts (the log of the uniform policy,
Thompson sampling evaluated) and bts → random. Inputs are kept beside the values, because obp sorts a log by its
timestamps, the sample has ties, and the order of tied rows is not defined. q̂ is the smoothed click rate by position and
arm, times a factor that changes from round to round, so that a model by round is compared too.
"""

import logging
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

CAMPAIGNS = ("all", "men", "women")
DIRECTIONS = (("random", "bts"), ("bts", "random"))
THRESHOLDS = (2.0, 10.0)
SIMULATIONS = 100_000
POSITIONS = 3
PRIOR_CLICKS, PRIOR_VIEWS = 1.0, 200.0

type Array = NDArray[Any]


class Empty(type):
    """A class of empty classes: each has whatever attribute is asked for, and that is another of them."""

    def __getattr__(cls, name: str) -> "Empty":
        if name.startswith("__"):
            raise AttributeError(name)
        return Empty(name, (), {})


class StandIn(ModuleType):
    """A module of empty classes."""

    def __getattr__(self, name: str) -> Empty:
        return Empty(self.__name__, (), {}).__getattr__(name)


def import_obp() -> Any:
    if find_spec("torch") is None:
        for name in ("torch", "torch.nn", "torch.nn.functional", "torch.optim"):
            sys.modules[name] = StandIn(name)
    import obp.dataset
    import obp.ope
    import obp.policy

    return obp


def action_table(obp: Any, policy: str, campaign: str, n_arms: int) -> Array:
    """Return the policy's probabilities by position and arm (3, n_arms), as obp has them."""
    if policy == "random":
        chooser = obp.policy.Random(n_actions=n_arms, len_list=POSITIONS, random_state=12345)
        dist = chooser.compute_batch_action_dist(n_rounds=1)
    else:
        chooser = obp.policy.BernoulliTS(
            n_actions=n_arms, len_list=POSITIONS, is_zozotown_prior=True, campaign=campaign, random_state=12345
        )
        dist = chooser.compute_batch_action_dist(n_rounds=1, n_sim=SIMULATIONS)
    return np.asarray(dist[0].T)


def reward_table(log: dict[str, Any], n_arms: int) -> Array:
    """Return smoothed click rates by position and arm (3, n_arms)."""
    cells = (log["position"], log["action"])
    clicks, views = np.zeros((POSITIONS, n_arms)), np.zeros((POSITIONS, n_arms))
    np.add.at(clicks, cells, log["reward"])
    np.add.at(views, cells, 1.0)
    return (clicks + PRIOR_CLICKS) / (views + PRIOR_VIEWS)


def by_round(table: Array, n: int) -> Array:
    return np.tile(table.T, (n, 1, 1))


def estimators(ope: Any) -> dict[str, Any]:
    found = {
        "ipw": ope.InverseProbabilityWeighting(),
        "snipw": ope.SelfNormalizedInverseProbabilityWeighting(),
        "dm": ope.DirectMethod(),
        "dr": ope.DoublyRobust(),
        "sndr": ope.SelfNormalizedDoublyRobust(),
    }
    for threshold in THRESHOLDS:
        found |= {
            f"ipw({threshold:g})": ope.InverseProbabilityWeighting(lambda_=threshold),
            f"dr({threshold:g})": ope.DoublyRobust(lambda_=threshold),
            f"switch-dr({threshold:g})": ope.SwitchDoublyRobust(lambda_=threshold),
            f"dr-os({threshold:g})": ope.DoublyRobustWithShrinkage(lambda_=threshold),
        }
    return found


def evaluate(obp: Any, behavior: str, target: str, campaign: str) -> dict[str, Array]:
    log = obp.dataset.OpenBanditDataset(behavior_policy=behavior, campaign=campaign).obtain_batch_bandit_feedback()
    n, n_arms = log["n_rounds"], log["n_actions"]
    pi, q_hat = action_table(obp, target, campaign, n_arms), reward_table(log, n_arms)
    factors = 1.0 + np.arange(n) % 7 / 10.0
    given = {
        "reward": log["reward"],
        "action": log["action"],
        "pscore": log["pscore"],
        "position": log["position"],
        "action_dist": by_round(pi, n),
        "estimated_rewards_by_reg_model": by_round(q_hat, n) * factors[:, None, None],
    }
    values = {name: method.estimate_policy_value(**given) for name, method in estimators(obp.ope).items()}
    levels, codes = np.unique(log["pscore"], return_inverse=True)
    return {
        "arms": log["action"].astype(np.uint8),
        "positions": log["position"].astype(np.uint8),
        "rewards": log["reward"].astype(np.uint8),
        "propensity_levels": levels,
        "propensity_codes": codes.astype(np.uint16),
        "target": pi,
        "q_hat": q_hat,
        "factors": factors,
        "methods": np.array(list(values)),
        "values": np.array(list(values.values())),
    }


def main() -> None:
    logging.basicConfig(level=logging.ERROR)
    obp = import_obp()
    for campaign in CAMPAIGNS:
        saved: dict[str, Any] = {
            f"{behavior}-{target}-{name}": array
            for behavior, target in DIRECTIONS
            for name, array in evaluate(obp, behavior, target, campaign).items()
        }
        np.savez_compressed(Path(__file__).parent / f"obp-{campaign}.npz", **saved)


if __name__ == "__main__":
    main()
