"""A learner for programs without a server. `postgres.PostgresLearningStore` needs the extra `bandit-sdk[postgres]`."""

from bandit_sdk.learning.arms import Arm, ArmOutcome
from bandit_sdk.learning.config import LearnerConfig
from bandit_sdk.learning.json_file import JsonLearningStore
from bandit_sdk.learning.learner import Learner, Observed
from bandit_sdk.learning.memory import MemoryLearningStore
from bandit_sdk.learning.metrics import ArmMetrics, LearnerMetrics
from bandit_sdk.learning.rewards import BinaryReward, RewardModel, TernaryReward
from bandit_sdk.learning.selection import SelectionResult
from bandit_sdk.learning.sqlite import SqliteLearningStore
from bandit_sdk.learning.store import LearningStore
from bandit_sdk.learning.strategies import PolicyStrategy, Strategy, ThompsonSampling

__all__ = [
    "Arm",
    "ArmMetrics",
    "ArmOutcome",
    "BinaryReward",
    "JsonLearningStore",
    "Learner",
    "LearnerConfig",
    "LearnerMetrics",
    "LearningStore",
    "MemoryLearningStore",
    "Observed",
    "PolicyStrategy",
    "RewardModel",
    "SelectionResult",
    "SqliteLearningStore",
    "Strategy",
    "TernaryReward",
    "ThompsonSampling",
]
