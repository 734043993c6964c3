"""bandit-service over HTTP, as a patient client sees it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg
import httpx

from bandit_pipeline.errors import PipelineError

TIMEOUT = 30.0
ATTEMPTS = 6
FIRST_PAUSE = 0.2
PASSING = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)


class ServiceError(PipelineError):
    """The service answered, but not with what was asked for."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class BanditService(dg.ConfigurableResource["BanditService"]):
    """Where the service is, and the API key to use (empty where it asks for none)."""

    url: str
    api_key: str = ""

    @contextmanager
    def client(self) -> Iterator["ServiceClient"]:
        headers = {"X-Api-Key": self.api_key} if self.api_key else {}
        with httpx.Client(base_url=self.url, timeout=TIMEOUT, headers=headers) as http:
            yield ServiceClient(http)


class ServiceClient:
    """Sends requests, again where that is safe and may help. Every request here may be repeated without harm."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def get(self, path: str, **query: str | int) -> dict[str, Any]:
        return self._send("GET", path, query=query)

    def post(self, path: str, body: object) -> dict[str, Any]:
        return self._send("POST", path, body=body)

    def batch(self, path: str, items: Sequence[object]) -> list[dict[str, Any]]:
        """Send items together and return what became of each; an item that was refused is an error."""
        answers: list[dict[str, Any]] = self.post(path, {"items": items})["items"]
        for answer in answers:
            if not httpx.codes.is_success(answer["status"]):
                problem = answer["problem"]
                raise ServiceError(f"bandit-service refused an item of {path}: {_text(problem)}", answer["status"])
        return [answer["result"] for answer in answers]

    def experiments(self, status: str | None = None) -> list[dict[str, Any]]:
        """List all experiments the key may see."""
        found: list[dict[str, Any]] = []
        query: dict[str, Any] = {"limit": 1_000} | ({} if status is None else {"status": status})
        while True:
            page = self.get("/experiments", **query)
            found.extend(page["items"])
            if page["next_cursor"] is None:
                return found
            query["cursor"] = page["next_cursor"]

    def _send(
        self, method: str, path: str, *, query: dict[str, Any] | None = None, body: object = None
    ) -> dict[str, Any]:
        response, pause = self._try(method, path, query, body), FIRST_PAUSE
        for _ in range(ATTEMPTS - 1):
            if isinstance(response, httpx.Response) and response.status_code not in PASSING:
                break
            time.sleep(pause)
            response, pause = self._try(method, path, query, body), 2 * pause
        if isinstance(response, httpx.TransportError):
            raise PipelineError(
                f"bandit-service does not answer at {self._http.base_url} ({response}); see BANDIT_SERVICE_URL."
            ) from response
        if not response.is_success:
            raise ServiceError(
                f"bandit-service answered {response.status_code} to {method} {path}: {_explanation(response)}",
                response.status_code,
            )
        answer: dict[str, Any] = response.json()
        return answer

    def _try(
        self, method: str, path: str, query: dict[str, Any] | None, body: object
    ) -> httpx.Response | httpx.TransportError:
        try:
            return self._http.request(method, path, params=query, json=body)
        except httpx.TransportError as error:
            return error


def _explanation(response: httpx.Response) -> str:
    try:
        return _text(response.json())
    except ValueError:
        return response.text.strip()[:200] or response.reason_phrase


def _text(problem: dict[str, Any]) -> str:
    return str(problem.get("detail") or problem.get("title") or problem)
