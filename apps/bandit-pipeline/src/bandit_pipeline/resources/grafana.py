"""Annotations in Grafana, where one is configured."""

from typing import Any

import dagster as dg
import httpx

from bandit_pipeline.errors import PipelineError

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
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            with httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT) as client:
                found = client.get("/api/annotations", params={"tags": tags, "limit": 1}).raise_for_status()
                if not found.json():
                    body: dict[str, Any] = {"time": at_ms, "tags": tags, "text": text}
                    client.post("/api/annotations", json=body).raise_for_status()
        except httpx.HTTPError as error:
            raise PipelineError(f"Grafana does not take the annotation ({error}); see BANDIT_GRAFANA_URL.") from error
