"""What names may look like, as regular expressions and in words.

Each expression is one of JSON Schema.
"""

from __future__ import annotations

from typing import Final, NamedTuple

_NO_LINE_BREAK: Final = r"(?!\n)"


class NameRule(NamedTuple):
    """What a name may look like: a regular expression, and the same for people."""

    pattern: str
    words: str

    @property
    def python_pattern(self) -> str:
        """The expression for Python, which lets `$` stand before a final line break."""
        return self.pattern + _NO_LINE_BREAK


def _rule(characters: str, longest: int, words: str) -> NameRule:
    return NameRule(f"^[{characters}]{{1,{longest}}}$", f"must be 1 to {longest} {words}")


# No dot at either end: "." and ".." mean something else in a URL, and a namespace must not be empty.
EXPERIMENT_ID: Final = NameRule(
    r"^[A-Za-z0-9_-]([A-Za-z0-9._-]{0,126}[A-Za-z0-9_-])?$",
    "must be 1 to 128 letters, digits, '-', '_' or '.', and no '.' at either end",
)
# As language models are called: org/model, model:8b, @org/model.
ARM_ID: Final = NameRule(
    r"^[A-Za-z0-9_@-]([A-Za-z0-9._:/@+-]{0,126}[A-Za-z0-9_-])?$",
    "must be 1 to 128 letters, digits or any of - _ . : / @ +, and begin and end with a letter, a digit, '-' or '_'",
)
NAMESPACE: Final = _rule("A-Za-z0-9_-", 128, "letters, digits, '-' or '_'")
DECISION_ID: Final = _rule("A-Za-z0-9._:-", 800, "letters, digits, '-', '_', '.' or ':'")
OWN_ID: Final = _rule("A-Za-z0-9._:-", 128, "letters, digits, '-', '_', '.' or ':'")
# No slash: it joins the values of a segment's name.
FEATURE: Final = _rule("A-Za-z0-9._:-", 64, "letters, digits, '-', '_', '.' or ':'")
# Postgres cannot hold NUL.
PLAIN_TEXT: Final = NameRule(r"^[^\x00]*$", "must not contain the character NUL")
_RULES: Final = (EXPERIMENT_ID, ARM_ID, NAMESPACE, DECISION_ID, OWN_ID, FEATURE, PLAIN_TEXT)


def plain_pattern(pattern: str) -> str:
    """Return a pattern as one of JSON Schema."""
    return pattern.removesuffix(_NO_LINE_BREAK)


def in_words(pattern: str) -> str:
    """Return what a pattern demands, for people."""
    plain = plain_pattern(pattern)
    return next((rule.words for rule in _RULES if rule.pattern == plain), f"must match {plain}")
