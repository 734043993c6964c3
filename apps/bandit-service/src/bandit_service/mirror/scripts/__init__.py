"""The atomic scripts, one named file each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Script:
    """A script's source and the hash Redis knows it by."""

    source: bytes
    sha: str


@cache
def script(name: str) -> Script:
    """Return the script stored as `<name>.lua` in this folder."""
    source = files(__name__).joinpath(f"{name}.lua").read_bytes()
    return Script(source, hashlib.sha1(source, usedforsecurity=False).hexdigest())
