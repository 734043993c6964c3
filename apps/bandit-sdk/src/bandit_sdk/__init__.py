"""What an application imports: clients of bandit-service; `bandit_sdk.learning` needs no server."""

from bandit_sdk.client import AsyncClient, Client
from bandit_sdk.errors import AwayError, BanditError, Problem, RefusedError
from bandit_sdk.results import BatchItem, RewardResult, Selection
from bandit_sdk.retries import Retries

__all__ = [
    "AsyncClient",
    "AwayError",
    "BanditError",
    "BatchItem",
    "Client",
    "Problem",
    "RefusedError",
    "Retries",
    "RewardResult",
    "Selection",
]
