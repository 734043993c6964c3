"""The published allocation: one versioned vector of weights per experiment, the same for every replica."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class AllocationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Weights by arm, with the numbers they came from. Times are seconds since the epoch (UTC).

    `belief_version` and `seq` say which beliefs were looked at; `changed_at` is when a weight last moved.
    """

    version: int
    epoch: int
    revision: int
    belief_version: int
    seq: int
    published_at: float
    changed_at: float
    weights: Mapping[str, float]
    prob_best: Mapping[str, float]
    expected_loss: Mapping[str, float]


encode_allocation = msgspec.json.Encoder().encode
decode_allocation = msgspec.json.Decoder(AllocationRecord).decode
