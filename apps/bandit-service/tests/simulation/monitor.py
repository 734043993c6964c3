"""Watches the mirror while a schedule runs: what stands there never becomes older while Redis keeps what it has."""

from __future__ import annotations

import json
from typing import Final

from .postgres.server import SimulatedPostgres
from .redis.server import SimulatedRedis

# A holder that has just lost its lease may have read later than the new one, which is slow to write: by so much.
_OVERLAP: Final = 2.0


class MirrorMonitor:
    """Looks at every write of the mirror's script."""

    def __init__(self, redis: SimulatedRedis, postgres: SimulatedPostgres) -> None:
        self._redis = redis
        self._postgres = postgres
        self._known: dict[bytes, tuple[float, ...]] = {}
        self._changes: tuple[object, ...] = ()
        self.wrong: list[str] = []
        redis.on_script = self._look

    def _look(self, keys: list[bytes]) -> None:
        ahead = self._postgres.now() - self._postgres.time()
        changes = (self._redis.losses, self._postgres.database.timeline_number, ahead)
        if changes != self._changes:
            # What came back, or is written by a clock that was set, may be older.
            self._known.clear()
            self._changes = changes
        for key in keys:
            value = self._redis.data.values.get(key)
            if key.endswith(b":totals") and isinstance(value, bytes):
                self._compare(key, (json.loads(value)["as_of"],), _OVERLAP)
            elif key.endswith(b":weights") and isinstance(value, bytes):
                self._compare(key, (self._token(key), json.loads(value)["version"]), 0)

    def _token(self, key: bytes) -> int:
        """Return the token of the lease under which weights were written."""
        written = self._redis.data.values.get(key.rpartition(b":")[0] + b":written")
        return int(written[b"weights"].split()[0]) if isinstance(written, dict) else 0

    def _compare(self, key: bytes, new: tuple[float, ...], most: float) -> None:
        known = self._known.get(key, new)
        if (*new[:-1], new[-1] + most) < known:
            self.wrong.append(f"MIRROR WENT BACK: {key.decode()} from {known} to {new}")
        self._known[key] = new
