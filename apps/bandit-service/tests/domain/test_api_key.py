"""Each role includes the ones below it; a key is random, and only its hash is kept."""

import hashlib
import secrets
from typing import get_args

import pytest

from bandit_core.rules.problems import Forbidden
from bandit_service.domain.api_key import Principal, Role, digest, key_id, new_key

ROLES: tuple[Role, ...] = ("reader", "writer", "admin")


@pytest.mark.parametrize("has", ROLES)
@pytest.mark.parametrize("needs", ROLES)
def test_each_role_includes_the_ones_below(has: Role, needs: Role) -> None:
    principal = Principal("someone", has, "*")
    if ROLES.index(has) >= ROLES.index(needs):
        principal.require(needs)
    else:
        with pytest.raises(Forbidden, match=needs):
            principal.require(needs)


def test_the_roles_of_this_table_are_all_there_are() -> None:
    assert get_args(Role.__value__) == ROLES


def test_a_namespace_is_seen_by_its_own_keys_and_by_those_for_all() -> None:
    assert Principal("a", "reader", "shop").sees("shop")
    assert Principal("a", "reader", "*").sees("shop")
    assert not Principal("a", "admin", "blog").sees("shop")
    with pytest.raises(Forbidden, match="blog"):
        Principal("a", "admin", "blog").require("reader", "shop")


def test_a_key_is_random_and_only_its_hash_is_kept() -> None:
    text, key = new_key("checkout", "writer", "shop", secrets.token_bytes)
    assert text != new_key("checkout", "writer", "shop", secrets.token_bytes)[0]
    assert len(text) > 50
    assert key_id(text) == key.id
    assert key.digest == hashlib.sha256(text.encode()).digest() == digest(text)
    assert text.rpartition("_")[2] not in repr(key)
