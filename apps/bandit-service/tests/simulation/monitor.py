"""Watches the mirror while a schedule runs: nothing older is written over what stands there, nor by a former holder."""

from __future__ import annotations

import json

from .postgres.server import SimulatedPostgres
from .redis.server import SimulatedRedis


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
                self._compare(key, (self._token(key, b"totals"), json.loads(value)["as_of"]))
            elif key.endswith(b":weights") and isinstance(value, bytes):
                self._compare(key, (self._token(key, b"weights"), json.loads(value)["version"]))

    def _token(self, key: bytes, field: bytes) -> int:
        """Return the token of the lease under which something was written."""
        written = self._redis.data.values.get(key.rpartition(b":")[0] + b":written")
        return int(written[field].split()[0]) if isinstance(written, dict) else 0

    def _compare(self, key: bytes, new: tuple[float, ...]) -> None:
        known = self._known.get(key, new)
        if new < known:
            self.wrong.append(f"MIRROR WENT BACK: {key.decode()} from {known} to {new}")
        self._known[key] = new
