"""Three estimates from an exported frame, on logs whose truth is known, and beside the public client's."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from banditdb import eval as public

from bandit_core.ope import doubly_robust, ips, replay
from bandit_core.ope.frames import OPEResult

ARMS = np.array(["decrease_light", "decrease_noise", "decrease_temperature"])
RATES = np.array([0.2, 0.4, 0.6])
UNIFORM = RATES.mean()


def exported(rows: int, seed: int = 0) -> pl.DataFrame:
    """A log of a policy that prefers arms by a feature; rewards depend on arm and feature."""
    rng = np.random.default_rng(seed)
    feature = rng.random(rows)
    logits = np.stack([0.5 - feature, np.zeros(rows), feature - 0.5], axis=1) * 3
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    arms = (rng.random((rows, 1)) > probability.cumsum(axis=1)).sum(axis=1)
    rewards = (rng.random(rows) < RATES[arms] + 0.2 * (feature - 0.5)).astype(float)
    return pl.DataFrame(
        {
            "interaction_id": [str(row) for row in range(rows)],
            "arm_id": ARMS[arms],
            "reward": rewards,
            "propensity": probability[np.arange(rows), arms],
            "feature_0": feature,
        }
    )


@pytest.mark.parametrize("method", [replay, ips, doubly_robust])
def test_it_is_unbiased_and_knows_its_error(method: object) -> None:
    results = [method(exported(1_500, seed)) for seed in range(60)]  # type: ignore[operator]
    errors = np.array([each.estimate - UNIFORM for each in results])
    stated = np.mean([each.std_error for each in results])
    assert abs(errors.mean()) <= 4 * errors.std(ddof=1) / np.sqrt(len(errors))
    assert errors.std(ddof=1) == pytest.approx(stated, rel=0.35)


def test_another_target_may_be_given() -> None:
    def always_temperature(arms: list[str], features: np.ndarray) -> np.ndarray:
        return np.tile(np.array(arms) == "decrease_temperature", (len(features), 1)).astype(float)

    found = doubly_robust(exported(20_000), target=always_temperature)
    assert abs(found.estimate - 0.6) <= 4 * found.std_error
    assert found.n_used < found.n_total


def test_the_snips_estimate_is_that_of_the_public_client() -> None:
    frame = exported(2_000)
    ours, theirs = ips(frame), public.ips(frame)
    assert ours.estimate == pytest.approx(theirs.estimate, abs=1e-12)
    assert (ours.n_used, ours.n_total) == (theirs.n_used, theirs.n_total)
    assert ours.std_error * np.sqrt(2_000 / 1_999) == pytest.approx(theirs.std_error, rel=1e-12)


def test_replay_is_as_the_target_would_choose_where_the_public_client_favours_what_was_logged_often() -> None:
    rng, rows = np.random.default_rng(5), 40_000
    logging = np.array([0.8, 0.1, 0.1])
    arms = rng.choice(3, rows, p=logging)
    frame = pl.DataFrame(
        {"arm_id": ARMS[arms], "reward": (rng.random(rows) < RATES[arms]).astype(float), "propensity": logging[arms]}
    )
    ours, theirs = replay(frame), public.replay(frame)
    assert abs(ours.estimate - UNIFORM) <= 4 * ours.std_error
    # What is logged with 0.1 is kept always, though it should be kept 10 / 3 times as often.
    kept = np.minimum(logging, 1 / 3)
    assert abs(theirs.estimate - kept @ RATES / kept.sum()) <= 4 * theirs.std_error
    assert theirs.estimate < UNIFORM - 10 * theirs.std_error


def test_replay_does_not_repeat_the_chance_of_a_log_that_was_simulated_from_its_seed() -> None:
    found = replay(exported(20_000, seed=0), seed=0)
    assert abs(found.estimate - UNIFORM) <= 4 * found.std_error


def test_doubly_robust_is_near_the_public_client_which_fits_and_judges_on_the_same_rows() -> None:
    frame = exported(5_000)
    ours, theirs = doubly_robust(frame), public.doubly_robust(frame)
    assert abs(ours.estimate - theirs.estimate) < theirs.std_error


def test_a_result_prints_what_it_rests_on() -> None:
    text = repr(ips(exported(150)))
    assert text.startswith("OPEResult(method='ips', estimate=0.")
    assert text.endswith("coverage=100.0% [150/150])")


def test_a_target_may_be_a_column_with_its_probability_of_the_logged_arm() -> None:
    def always_temperature(arms: list[str], features: np.ndarray) -> np.ndarray:
        return np.tile(np.array(arms) == "decrease_temperature", (len(features), 1)).astype(float)

    frame = exported(500).with_columns(target=(pl.col("arm_id") == "decrease_temperature").cast(pl.Float64))
    for method in (replay, ips):
        assert method(frame, target="target") == method(frame, target=always_temperature)
    with pytest.raises(ValueError, match="give a function, not a column"):
        doubly_robust(frame, target="target")
    with pytest.raises(ValueError, match="no column 'other'"):
        ips(frame, target="other")
    with pytest.raises(ValueError, match="column 'target' must hold probabilities"):
        ips(frame.with_columns(target=2.0), target="target")
    with pytest.raises(ValueError, match="chooses none of the logged arms"):
        ips(frame.with_columns(target=0.0), target="target")


def test_rows_without_a_propensity_are_left_out_and_show_in_the_coverage() -> None:
    log = exported(103).with_columns(
        propensity=pl.when(pl.int_range(pl.len()) < 3).then(None).otherwise(pl.col("propensity"))
    )
    assert (ips(log).n_used, ips(log).n_total) == (100, 103)
    assert ips(log).estimate == ips(log[3:]).estimate
    unknown = log.with_columns(target=pl.when(pl.int_range(pl.len()) < 3).then(None).otherwise(0.5))
    assert ips(unknown, target="target").n_used == 100


@pytest.mark.parametrize("lost", [None, ""])
@pytest.mark.parametrize("method", [replay, ips, doubly_robust])
def test_rows_without_an_arm_are_left_out_and_counted(method: Callable[..., OPEResult], lost: str | None) -> None:
    """They were an arm called "None", to which the uniform target gave a third."""
    whole, rng = exported(600).drop("interaction_id"), np.random.default_rng(1)
    gap = whole.head(300).with_columns(arm_id=pl.lit(lost, dtype=pl.String), reward=pl.lit(0.0))
    found = method(pl.concat([whole, gap]))
    assert found == replace(method(whole), n_total=900, n_incomplete=300)
    assert repr(found).endswith(f"[{found.n_used}/900], incomplete=300)")
    shuffled = pl.concat([whole, gap])[rng.permutation(900)]
    assert method(shuffled).n_incomplete == 300


@pytest.mark.parametrize("method", [replay, ips, doubly_robust])
def test_a_frame_of_pandas_gives_the_same(method: Callable[..., OPEResult]) -> None:
    frame = exported(300)
    expected = method(frame)
    of_pandas = pd.DataFrame(frame.to_dict(as_series=False))
    nullable = of_pandas.convert_dtypes()
    with_gaps = pd.concat([of_pandas, of_pandas.head(9).assign(arm_id=None), of_pandas.head(9).assign(reward=pd.NA)])
    assert method(of_pandas) == method(nullable) == method(frame.lazy()) == expected
    assert method(with_gaps) == replace(expected, n_total=318, n_incomplete=18)


def test_numbered_arms_keep_their_names_when_one_is_missing() -> None:
    """pandas turns whole numbers into floats as soon as one is missing."""
    named: list[list[str]] = []

    def first_arm(arms: list[str], features: np.ndarray) -> np.ndarray:
        named.append(arms)
        return np.tile(np.eye(len(arms))[0], (len(features), 1))

    frame = {"arm_id": [7, 8, None, 7], "reward": [1.0, 0.0, 1.0, 0.5], "propensity": [0.5] * 4}
    assert ips(pd.DataFrame(frame), target=first_arm).estimate == 0.75
    assert ips(pl.DataFrame(frame), target=first_arm).estimate == 0.75
    assert named == [["7", "8"]] * 2


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pl.DataFrame({"arm_id": ["a"], "reward": [1.0]}), "no column 'propensity'"),
        (
            pl.DataFrame({"arm_id": ["a", "b"], "reward": [1.0, np.inf], "propensity": [0.5, 0.5]}),
            "rewards must be finite, got inf in row 1",
        ),
        (
            pl.DataFrame({"arm_id": ["a", "b"], "reward": ["1", "yes"], "propensity": [0.5, 0.5]}),
            "reward must be numbers, got 'yes' in row 1",
        ),
        ([1, 2], "a frame of polars or pandas is needed, got list"),
        (pl.DataFrame({"arm_id": ["a"], "reward": [1.0], "propensity": [None]}), "fewer than two rows"),
        (pl.DataFrame({"arm_id": ["a", "b"], "reward": [1.0, 0.0], "propensity": [0.5, 0.0]}), "propensities"),
    ],
)
def test_a_frame_that_cannot_be_used_is_refused(frame: pl.DataFrame, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ips(frame)


def test_only_the_estimate_with_a_model_needs_every_feature() -> None:
    frame = exported(100)
    gap = frame.with_columns(feature_0=pl.when(pl.int_range(pl.len()) > 0).then(pl.col("feature_0")))
    assert ips(gap) == ips(frame)
    with pytest.raises(ValueError, match="features must be finite"):
        doubly_robust(gap)
    assert ips(frame.with_columns(feature_0=pl.lit("sunny"))) == ips(frame)
    with pytest.raises(ValueError, match="feature_0 must be numbers, got 'sunny' in row 0"):
        doubly_robust(frame.with_columns(feature_0=pl.lit("sunny")))


def test_a_target_with_a_negative_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="3 probabilities that sum to 1"):
        ips(exported(50), target=lambda _, features: np.tile([1.5, -0.5, 0.0], (len(features), 1)))
