"""One window of observations, one decision: what the allocation engine makes of it, and why.

python docs/examples/engine_one_window.py
"""

from bandit_core.engine import Constraints, Engine, Observation


def main() -> None:
    result = Engine(strategy="thompson").compute(
        observations={
            "A": Observation(trials=1_000, successes=50),
            "B": Observation(trials=1_000, successes=120),
            "C": Observation(trials=1_000, successes=60),
        },
        previous_weights={"A": 0.33, "B": 0.33, "C": 0.34},
        constraints=Constraints(min_trials=500, max_step=0.1, min_weight=0.05),
    )
    for variant, weight in result.weights.items():
        print(f"{variant} {weight:.1%}")  # noqa: T201 - what the example is for
    print(result.explanation)  # noqa: T201


if __name__ == "__main__":
    main()
