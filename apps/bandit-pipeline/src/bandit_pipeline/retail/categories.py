"""Categories of products from their descriptions: the last word, in the singular."""

import re
from collections.abc import Iterable
from typing import Final

_WORD: Final = re.compile(r"[^\W\d_]+")
_SHORT: Final = 2
"""Words of so many letters say little (ON, IN, OF): the one before them is taken, if there is one."""

_STEMS: Final = (("IES", ("Y", "IE")), ("VES", ("F", "FE", "VE")), ("ES", ("", "E")), ("S", ("",)))
"""Endings of plurals, and what the singular may have in their place."""

_UNSURE: Final = re.compile(r"([AIOSU]S|^(LENS|NEWS|SERIES|SPECIES|SCISSORS|TONGS|JEANS|TROUSERS))$")
"""Words that are as often no plurals: GLASS, CACTUS, TENNIS, CHRISTMAS, CHAOS."""

_REGULAR: Final = (
    (re.compile(r"^(.)IES$"), r"\1IE"),
    (re.compile(r"([^AEIOU])IES$"), r"\1Y"),
    (re.compile(r"(SH|CH|X|SS|ZZ|O)ES$"), r"\1"),
    (re.compile(r"S$"), ""),
)


def categorise(descriptions: Iterable[str]) -> dict[str, str]:
    """Return the category of every description; those without a word have none.

    A plural is counted with a singular that stands somewhere in the descriptions, else with the regular one. A word
    that may be no plural, such as CHRISTMAS or CANVAS, stays as it is unless its singular is there.
    """
    words = {description: _WORD.findall(description.upper()) for description in descriptions}
    known = {word for found in words.values() for word in found}
    last = {description: _last(found) for description, found in words.items() if found}
    singular = {word: _singular(word, known) for word in set(last.values())}
    return {description: singular[word] for description, word in last.items()}


def _last(words: list[str]) -> str:
    return next((word for word in reversed(words) if len(word) > _SHORT), words[-1])


def _singular(word: str, known: set[str]) -> str:
    if len(word) <= _SHORT + 1 or word.endswith("SS"):
        return word
    stems = [word.removesuffix(ending) + stem for ending, some in _STEMS if word.endswith(ending) for stem in some]
    if there := [stem for stem in stems if stem in known and len(stem) > _SHORT]:
        return there[0]
    if not _UNSURE.search(word):
        for plural, singular in _REGULAR:
            if plural.search(word):
                return plural.sub(singular, word)
    return word
