"""The published allocation: one versioned vector of weights per experiment, the same for every replica."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class AllocationRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Weights by arm, with the numbers they came from. Times are seconds since the epoch (UTC).

    `version` and `token` are given by the ledger when it takes the record; `token` is that of the lease under which it
    was published. `changed_at` is when a weight last moved. `beliefs` are those by arm: alpha and beta; or, if
    gaussian, how many rewards there were, their sum and that of their squares in units. `segments` has the weights of
    each segment by its name.
    """

    version: int
    token: int = 0
    revision: int
    published_at: float
    changed_at: float
    weights: Mapping[str, float]
    prob_best: Mapping[str, float]
    expected_loss: Mapping[str, float]
    beliefs: Mapping[str, tuple[float, ...]] = {}
    segments: Mapping[str, Mapping[str, float]] = {}


encode_allocation = msgspec.json.Encoder().encode
decode_allocation = msgspec.json.Decoder(AllocationRecord).decode
