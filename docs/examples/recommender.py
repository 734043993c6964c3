"""Pick three recommenders, blend their lists, credit the one whose item was clicked.

python docs/examples/recommender.py URL        (a bandit-service; its key in BANDIT_API_KEY, if it asks for one)
"""

import os
import sys
from collections.abc import Sequence

from bandit_core.blend import Blended, blend
from bandit_sdk import Client

RECOMMENDERS = ["svd", "embeddings", "graph", "item_cf", "long_tail", "serendipity"]
EXPERIMENT = "recommenders"


def recommend(recommender: str) -> list[str]:
    """Stand for a recommender: each ranks forty items, and all of them know the same favourites."""
    return ["favourite-1", "favourite-2", *(f"{recommender}-{rank}" for rank in range(3, 41))]


def page(client: Client) -> tuple[str, list[str], list[Blended[str]]]:
    """Return the decision, the chosen recommenders in order, and twenty items, each with its recommender."""
    decision = client.select(EXPERIMENT, k=3)
    chosen = [place.arm for place in decision.slate]
    items = blend({name: recommend(name) for name in chosen}, dict(zip(chosen, (0.45, 0.35, 0.20), strict=True)), n=20)
    return decision.decision_id or "", chosen, items


def clicked(client: Client, decision_id: str, chosen: Sequence[str], item: Blended[str]) -> None:
    """Credit the recommender an item came from, at its position."""
    client.reward(decision_id, position=chosen.index(item.source), reward=1.0)


def main(url: str) -> None:
    with Client(url, api_key=os.environ.get("BANDIT_API_KEY")) as client:
        client.experiments.create(EXPERIMENT, arms=RECOMMENDERS, missing_reward="zero", reward_window=3_600.0)
        decision_id, chosen, items = page(client)
        clicked(client, decision_id, chosen, items[2])
        print(f"{', '.join(chosen)}: {items[2].item} was clicked, {items[2].source} is credited")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000")
