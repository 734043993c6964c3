"""For the tests of programs that use the clients: bandit-service in the memory of the test."""

from bandit_sdk.testing.service import InMemoryService

__all__ = ["InMemoryService"]
