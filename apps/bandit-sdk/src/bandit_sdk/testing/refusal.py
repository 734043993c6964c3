"""What the service in memory does not do, as the problem document of the real one."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any


class Refusal(Exception):  # noqa: N818 (it becomes an answer)
    """An answer other than success; `field` names what is wrong with the request, where that is a field."""

    def __init__(self, status: int, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self._field = field

    def document(self) -> dict[str, Any]:
        """Return the problem details (RFC 9457)."""
        title = HTTPStatus(self.status).phrase
        kind = "urn:bandit:problem:" + title.lower().replace(" ", "-")
        whole = {"type": kind, "title": title, "status": self.status, "detail": str(self)}
        if self._field is None:
            return whole
        return {**whole, "errors": [{"field": self._field, "message": str(self)}]}


def wrong(field: str, message: str) -> Refusal:
    """Return the refusal of a field."""
    return Refusal(422, f"{field}: {message}", field=field)
