"""bandit-service, through the SDK's client with the patience of a batch job."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import dagster as dg

from bandit_pipeline.errors import PipelineError
from bandit_sdk import AwayError, Client, RefusedError, Retries
from bandit_sdk.connection import without_secrets

TIMEOUT: Final = 30.0
RETRIES: Final = Retries(attempts=8, budget=60.0, base=0.4, cap=5.0)


class BanditService(dg.ConfigurableResource["BanditService"]):
    """Where the service is, and the API key to use (empty where it asks for none)."""

    url: str
    api_key: str = ""

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Lend a client. An error of the service that the caller does not handle becomes a PipelineError."""
        try:
            opened = Client(self.url, api_key=self.api_key or None, timeout=TIMEOUT, retries=RETRIES)
        except ValueError as error:
            raise PipelineError(f"{error}; see BANDIT_URL and BANDIT_API_KEY.") from None
        try:
            with opened as client:
                yield client
        except AwayError as error:
            raise PipelineError(f"{error}, at {without_secrets(self.url)}; see BANDIT_URL.") from error
        except RefusedError as error:
            raise PipelineError(f"bandit-service refuses: {error}") from error
