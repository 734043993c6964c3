"""Annotations in Grafana, where one is configured."""

from typing import Any

import dagster as dg
import httpx

from bandit_pipeline.errors import PipelineError
from bandit_sdk.connection import key_headers, refused_certificate, service_url, transport_to, without_secrets

TIMEOUT = 10.0


class Grafana(dg.ConfigurableResource["Grafana"]):
    """A Grafana and the token of a service account; an empty `url` means that there is none."""

    url: str = ""
    token: str = ""

    @property
    def configured(self) -> bool:
        return bool(self.url)

    def annotate(self, text: str, tags: list[str], at_ms: int) -> None:
        """Mark a moment once: an annotation with all of these tags that is there already is left alone.

        Raises PipelineError when Grafana does not answer or refuses.
        """
        try:
            url, headers = service_url(self.url), key_headers(self.token or None)
            transport = transport_to(url)
        except ValueError as error:
            raise PipelineError(
                f"Grafana cannot be asked ({error}); see BANDIT_GRAFANA_URL and BANDIT_GRAFANA_TOKEN."
            ) from None
        try:
            with httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT, transport=transport) as client:
                found = client.get("/api/annotations", params={"tags": tags, "limit": 1}).raise_for_status()
                if not found.json():
                    body: dict[str, Any] = {"time": at_ms, "tags": tags, "text": text}
                    client.post("/api/annotations", json=body).raise_for_status()
        except httpx.HTTPStatusError as error:
            raise self._refused(f"it answers {error.response.status_code}") from None
        except (httpx.HTTPError, ValueError) as error:
            reason = refused_certificate(error)
            why = type(error).__name__ if reason is None else f"its certificate is not accepted: {reason}"
            raise self._refused(why) from None

    def _refused(self, why: str) -> PipelineError:
        """Return the error without the text of its cause, which holds the URL with its password."""
        return PipelineError(
            f"Grafana at {without_secrets(self.url)} does not take the annotation ({why}); see BANDIT_GRAFANA_URL."
        )
