import pytest

from bandit_router.parameters import Parameters

GOOD = {"experiment_id": "homepage", "service_url": "http://bandit-service:8000", "branches": 3}


def test_an_experiment_a_url_and_the_number_of_children_are_enough() -> None:
    parameters = Parameters(**GOOD)  # type: ignore[arg-type]
    assert (parameters.default_arm, parameters.timeout, parameters.sends_context) == (0, 0.25, False)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"experiment_id": ""}, "experiment_id"),
        ({"service_url": "bandit-service:8000"}, "service_url"),
        ({"service_url": "http://"}, "service_url"),
        ({"branches": 0}, "branches"),
        ({"branches": "3"}, "branches must have the type INT"),
        ({"branches": True}, "branches must have the type INT"),
        ({"default_arm": 3}, "one of the children 0 to 2"),
        ({"default_arm": -1}, "one of the children 0 to 2"),
        ({"timeout": 0.0}, "timeout"),
        ({"timeout": 1}, "timeout must have the type FLOAT"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": 61.0}, "timeout"),
        ({"sends_context": "yes"}, "sends_context must have the type BOOL"),
    ],
)
def test_a_parameter_that_cannot_be_right_stops_the_start(change: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Parameters(**GOOD | change)  # type: ignore[arg-type]
