"""The published linear models: what a request's vector is computed from, the same for every replica."""

from __future__ import annotations

from functools import cached_property

import msgspec
import numpy as np

from bandit_core.contextual import LinearBeliefs


class LinearRecord(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Coefficients (K, d) and their covariances (K, d, d) of the arms that have not retired, as little-endian float64.

    `turn` says up to which turn of settling they hold the outcomes.
    """

    version: int
    turn: int
    arms: tuple[str, ...]
    theta: bytes
    covariance: bytes

    @cached_property
    def beliefs(self) -> LinearBeliefs:
        arms = len(self.arms)
        theta = np.frombuffer(self.theta, dtype="<f8").reshape(arms, -1)
        covariance = np.frombuffer(self.covariance, dtype="<f8").reshape(arms, theta.shape[1], -1)
        return LinearBeliefs(self.arms, theta, covariance)


encode_linear = msgspec.json.Encoder().encode
decode_linear = msgspec.json.Decoder(LinearRecord).decode
