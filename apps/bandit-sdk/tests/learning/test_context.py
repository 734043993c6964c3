import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_sdk.learning.context import SHARED, Context, state_of

features = st.one_of(
    st.text(max_size=8), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False)
)


def test_without_declared_keys_every_context_shares_one_state() -> None:
    assert state_of((), {"task": "type-check"}) == state_of((), None) == SHARED


@given(st.dictionaries(st.text(max_size=4), features, min_size=1, max_size=4))
def test_the_same_features_lead_to_the_same_state_whatever_their_order(
    context: dict[str, str | bool | float],
) -> None:
    keys = list(context)
    shuffled = dict(reversed(context.items()))
    assert state_of(keys, context) == state_of(keys[::-1], shuffled)


@given(features, features)
def test_different_features_lead_to_different_states(one: str | float, other: str | float) -> None:
    same = one == other and isinstance(one, bool) == isinstance(other, bool)
    assert (state_of(["x"], {"x": one}) == state_of(["x"], {"x": other})) == same


def test_undeclared_keys_are_ignored() -> None:
    assert state_of(["task"], {"task": "t", "user": 1}) == state_of(["task"], {"task": "t", "user": 2})


def test_the_state_shows_nothing_of_the_features() -> None:
    assert "secret" not in state_of(["user"], {"user": "secret"})


@pytest.mark.parametrize("context", [None, {}, {"other": 1}])
def test_a_declared_key_must_be_there(context: Context | None) -> None:
    with pytest.raises(ValueError, match="must hold task"):
        state_of(["task"], context)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, [1]])
def test_a_feature_is_text_a_flag_or_a_finite_number(value: object) -> None:
    with pytest.raises(ValueError, match="the context's x"):
        state_of(["x"], {"x": value})  # type: ignore[dict-item]
