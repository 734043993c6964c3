"""What the pipeline says where bandit-service cannot be asked, or refuses."""

import pytest

from bandit_pipeline.errors import PipelineError
from bandit_pipeline.resources import BanditService


def test_a_refusal_is_a_failure_with_its_reason(service: BanditService) -> None:
    with pytest.raises(PipelineError, match="no experiment 'nowhere'"), service.client() as client:
        client.posterior("nowhere")


def test_a_url_or_key_that_cannot_work_is_named_by_its_variable() -> None:
    for wrong in (BanditService(url="service:8000"), BanditService(url="http://service", api_key="sec ret")):
        with pytest.raises(PipelineError, match="see BANDIT_URL and BANDIT_API_KEY") as raised, wrong.client():
            pytest.fail("there is no such client")
        assert "sec ret" not in str(raised.value)
