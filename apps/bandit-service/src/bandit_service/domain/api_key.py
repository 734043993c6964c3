"""API keys, and what their holders may do."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from bandit_core.rules.problems import Forbidden

type Role = Literal["reader", "writer", "admin"]

ALL_NAMESPACES = "*"
_RANK: Final[Mapping[Role, int]] = {"reader": 0, "writer": 1, "admin": 2}
_KEY_PREFIX = "bandit_"
_FORM: Final = re.compile(rf"{_KEY_PREFIX}([0-9a-f]{{12}})_[A-Za-z0-9_-]{{43}}")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling: a role (each includes the ones below it) in one namespace, or in all of them ("*").

    `key_id` is the public part of the key that was shown: it tells two keys of one caller apart.
    """

    name: str
    role: Role
    namespace: str
    key_id: str = field(default="", compare=False)

    def sees(self, namespace: str) -> bool:
        """Return whether that namespace exists for this caller."""
        return self.namespace in (ALL_NAMESPACES, namespace)

    def require(self, role: Role, namespace: str | None = None) -> None:
        """Return if the caller has at least that role, in that namespace when one is given.

        Raises:
            Forbidden: it has not.
        """
        if _RANK[self.role] < _RANK[role]:
            raise Forbidden(f"this needs an API key with the role {role}; yours is a {self.role}")
        if namespace is not None and not self.sees(namespace):
            raise Forbidden(f"your API key is for the namespace {self.namespace!r} only")


ANONYMOUS = Principal("anonymous", "admin", ALL_NAMESPACES)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as the service knows it: by its public id and the SHA-256 of its whole text."""

    id: str
    digest: bytes
    principal: Principal


def new_key(name: str, role: Role, namespace: str, entropy: Callable[[int], bytes]) -> tuple[str, ApiKey]:
    """Return a new key's text, to be shown once, and what to keep of it.

    `entropy` returns that many random bytes, e.g. `secrets.token_bytes`.
    """
    public, secret = entropy(6).hex(), base64.urlsafe_b64encode(entropy(32)).rstrip(b"=").decode()
    text = f"{_KEY_PREFIX}{public}_{secret}"
    return text, ApiKey(public, digest(text), Principal(name, role, namespace, public))


def key_id(key: str) -> str | None:
    """Return the public part of a key, or None for a text that `new_key` never returns.

    Keys are looked up by it, so that the whole can be compared in constant time.
    """
    form = _FORM.fullmatch(key)
    return None if form is None else form[1]


def digest(key: str) -> bytes:
    """Return the SHA-256 of a key. Keys are random, so no slow hash is needed."""
    return hashlib.sha256(key.encode()).digest()
