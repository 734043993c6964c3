"""The table in the documentation is what the code computes."""

from pathlib import Path

from bandit_pipeline.partitions import CAMPAIGNS
from bandit_pipeline.tables import as_markdown
from studies.pictures import estimates, readme_table

COMMITTED = Path(__file__).parents[3] / "docs" / "images" / "ope.md"


def test_the_committed_table_is_that_of_the_sample() -> None:
    table = readme_table({campaign: estimates(campaign) for campaign in CAMPAIGNS})
    assert as_markdown(table) + "\n" == COMMITTED.read_text()
