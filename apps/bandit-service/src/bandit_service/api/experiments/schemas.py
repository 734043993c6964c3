"""What queries of the management endpoints may say."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from bandit_core.rules.experiment import DEFAULT_NAMESPACE, Status
from bandit_core.rules.names import EXPERIMENT_ID, NAMESPACE, PLAIN_TEXT

ExperimentId = Annotated[str, Field(pattern=EXPERIMENT_ID.pattern, max_length=128, examples=["homepage"])]
Namespace = Annotated[str, Field(pattern=NAMESPACE.pattern, max_length=128, examples=[DEFAULT_NAMESPACE])]
Why = Annotated[str, Field(pattern=PLAIN_TEXT.pattern, min_length=1, max_length=500, description="It is recorded")]


class Filter(BaseModel):
    """Which experiments to list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Annotated[Status | None, Field(description="Only those in this state; all if not given")] = None
    namespace: Annotated[Namespace | None, Field(description="Only those of this namespace; all if not given")] = None
    limit: Annotated[int, Field(ge=1, le=1_000, description="How many a page holds at most")] = 100
    cursor: ExperimentId | None = Field(default=None, description="`next_cursor` of the page before")


class ChangesFilter(BaseModel):
    """Which changes to list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Annotated[int, Field(ge=1, le=1_000, description="How many a page holds at most")] = 100
    before: Annotated[
        Annotated[int, Field(ge=1, le=2**53)] | None, Field(description="Only changes before this revision")
    ] = None


class ApplyReason(BaseModel):
    """Why an experiment is made what Git says: the commit, for instance."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Why = "applied from Git"


class ArchiveReason(BaseModel):
    """Why an experiment is archived."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Why = "archived"
