"""Units of assignment: the ids of visitors, of which only hashes are stored."""

from __future__ import annotations

from hashlib import blake2b


def hashed_unit(unit_id: str, salt: str) -> str:
    """Return the name a unit is stored under: a hash keyed by its namespace's salt."""
    return blake2b(unit_id.encode(), digest_size=16, key=bytes.fromhex(salt)).hexdigest()
