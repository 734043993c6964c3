"""The service as it is usually written: synchronous, asking Redis, sampling and estimating P(best) for each request.

Run by `uvicorn --factory benchmarks.references.naive:create_app`, with the store's address in NAIVE_REDIS_URL.
"""

from __future__ import annotations

import os
from typing import Any, cast

import numpy as np
import redis
from fastapi import FastAPI
from pydantic import BaseModel

DRAWS = 1_000
ARMS = ("a", "b", "c", "d")
_PRIOR = 1.0


class SelectBody(BaseModel):
    """Which arm for this request."""

    experiment_id: str
    unit_id: str | None = None


class RewardBody(BaseModel):
    """What came of it."""

    experiment_id: str
    arm: str
    reward: float


def create_app() -> FastAPI:
    app = FastAPI()
    store = redis.Redis.from_url(os.environ["NAIVE_REDIS_URL"], decode_responses=True)
    rng = np.random.default_rng(0)

    @app.post("/select")
    def select(body: SelectBody) -> dict[str, Any]:
        names = [f"naive:{body.experiment_id}:{arm}:{field}" for field in ("alpha", "beta") for arm in ARMS]
        sums = [float(value or 0.0) for value in cast("list[str | None]", store.mget(names))]
        values = _PRIOR + np.array(sums)
        alpha, beta = values[: len(ARMS)], values[len(ARMS) :]
        chosen = int(np.argmax(rng.beta(alpha, beta)))
        winners = rng.beta(alpha, beta, size=(DRAWS, len(ARMS))).argmax(axis=1)
        prob_best = np.bincount(winners, minlength=len(ARMS)) / DRAWS
        return {"arm": ARMS[chosen], "prob_best": dict(zip(ARMS, prob_best.tolist(), strict=True))}

    @app.post("/reward")
    def reward(body: RewardBody) -> dict[str, str]:
        name = f"naive:{body.experiment_id}:{body.arm}"
        store.incrbyfloat(f"{name}:alpha", body.reward)
        store.incrbyfloat(f"{name}:beta", 1.0 - body.reward)
        return {"status": "ok"}

    return app
