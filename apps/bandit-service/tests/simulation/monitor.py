"""Watches the mirror while a schedule runs: what stands there never becomes older while Redis keeps what it has."""

from __future__ import annotations

import json
from typing import Final

from .postgres.server import SimulatedPostgres
from .redis.server import SimulatedRedis

_WATCHED: Final = {"totals": "as_of", "weights": "version"}


class MirrorMonitor:
    """Looks at every write of the mirror's script."""

    def __init__(self, redis: SimulatedRedis, postgres: SimulatedPostgres) -> None:
        self._redis = redis
        self._postgres = postgres
        self._known: dict[bytes, float] = {}
        self._losses = (0, 0)
        self.wrong: list[str] = []
        redis.on_script = self._look

    def _look(self, keys: list[bytes]) -> None:
        losses = (self._redis.losses, self._postgres.database.timeline_number)
        if losses != self._losses:
            # What came back, or was lost, may be older.
            self._known.clear()
            self._losses = losses
        for key in keys:
            name = _WATCHED.get(key.rpartition(b":")[2].decode())
            value = self._redis.data.values.get(key)
            if name is None or not isinstance(value, bytes):
                continue
            new = float(json.loads(value)[name])
            if new < self._known.get(key, new):
                self.wrong.append(f"MIRROR WENT BACK: {key.decode()} from {self._known[key]} to {new}")
            self._known[key] = new
