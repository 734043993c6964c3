"""Blend ranked lists of several sources into one, each item credited to the source it came from."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from bandit_core.checks import check_number, check_whole


@dataclass(frozen=True, slots=True)
class Blended[T]:
    """An item of a blended list: the source it is credited to, and its rank there (from 0)."""

    item: T
    source: str
    rank: int


def blend[T: Hashable](
    sources: Mapping[str, Sequence[T]], confidences: Mapping[str, float], n: int
) -> list[Blended[T]]:
    """Return up to n items, taken from the sources in turn and as often as their confidences say.

    Smooth weighted round-robin: at each step every source gains its confidence, and the one that has gained most gives
    its best item that was not given yet, and pays the sum of what all gained. So, without any chance involved, no
    source is ever a whole item ahead of steps · confidence / total, nor behind it with up to four sources; with fifty,
    1.25 behind was seen. Equal sources take turns in the order they are given. An item that several sources rank is
    credited to the one whose turn it was. A source that has run out gives its turns to the others.

    ValueError for a source without a confidence or the other way round, confidences that are not finite or below 0, all
    0, or an n below 0.
    """
    check_whole("n", n, low=0)
    if sources.keys() != confidences.keys():
        odd = sorted(sources.keys() ^ confidences.keys())
        raise ValueError(f"every source needs one confidence, and every confidence a source; not so: {', '.join(odd)}")
    for name, confidence in confidences.items():
        check_number(f"confidences[{name!r}]", confidence, low=0.0)
    if sources and not any(confidences.values()):
        raise ValueError("at least one confidence must be above 0")
    return _blended({name: items for name, items in sources.items() if confidences[name] > 0.0}, confidences, n)


def _blended[T: Hashable](
    sources: Mapping[str, Sequence[T]], confidences: Mapping[str, float], n: int
) -> list[Blended[T]]:
    waiting = {name: iter(enumerate(items)) for name, items in sources.items()}
    gained = dict.fromkeys(waiting, 0.0)
    given: set[T] = set()
    blended: list[Blended[T]] = []
    while waiting and len(blended) < n:
        total = sum(confidences[name] for name in waiting)
        for name in waiting:
            gained[name] += confidences[name]
        turn = max(waiting, key=gained.__getitem__)
        found = next(((rank, item) for rank, item in waiting[turn] if item not in given), None)
        if found is None:
            del waiting[turn]
            continue
        gained[turn] -= total
        given.add(found[1])
        blended.append(Blended(found[1], turn, found[0]))
    return blended
