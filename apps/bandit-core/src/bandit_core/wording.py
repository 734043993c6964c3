"""Numbers as people write them, for the sentences that explain decisions."""

from collections.abc import Callable, Sequence
from typing import Final

_UNITS: Final = ((86_400.0, "day"), (3_600.0, "hour"), (60.0, "minute"), (1.0, "second"))


def percent(share: float, *, digits: int = 3) -> str:
    """Write a share as a percentage with that many significant digits: 0.714 as "71.4%", 0.00042 as "0.042%".

    A share that is not 0 or 1 is never written as if it were: with 3 digits, what is closer to them than 0.0001 is
    "under 0.01%" or "over 99.99%".
    """
    least = 10.0 ** (1 - digits)
    if 0.0 < 100.0 * share < least:
        return f"under {_significant(least, 1)}%"
    if 0.0 < 100.0 * (1.0 - share) < least:
        return f"over {_significant(100.0 - least, digits + 1)}%"
    return f"{_significant(100.0 * share, digits + 1 if share > 0.99 else digits)}%"


def points(difference: float, *, digits: int = 2) -> str:
    """Write a difference of two shares in percentage points: 0.1 as "10 points"."""
    size = abs(100.0 * difference)
    text = "under 0.0001" if 0.0 < size < 1e-4 else _significant(size, digits)
    return f"{text} point{'' if text == '1' else 's'}"


def number(value: float, *, digits: int = 3) -> str:
    """Write a number with that many significant digits: 12.345 as "12.3"."""
    return "under 0.0000001" if 0.0 < value < 1e-7 else _significant(value, digits)


def compared(value: float, threshold: float, write: Callable[..., str] = percent) -> tuple[str, str]:
    """Write two numbers, shares unless told otherwise, with as many digits as it takes to tell them apart."""
    texts = write(value), write(threshold)
    for digits in range(3, 10):
        if texts[0] != texts[1] or value == threshold:
            break
        texts = write(value, digits=digits), write(threshold, digits=digits)
    return texts


def count(number: float, noun: str = "") -> str:
    """Write a count with thousands separated, and its noun: 1234 as "1,234 rewards"; fractions keep one digit."""
    text = f"{number:,.1f}".removesuffix(".0")
    return f"{text} {noun}{'' if text == '1' else 's'}" if noun else text


def duration(seconds: float) -> str:
    """Write a duration in its largest fitting unit: 5400 as "1.5 hours"."""
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), _UNITS[-1])
    text = _significant(seconds / size, 2)
    return f"{text} {unit}{'' if text == '1' else 's'}"


def listing(items: Sequence[str], *, at_most: int = 3, rest: str = "{} others") -> str:
    """Join items as in a sentence, naming only the first few when there are many: "a, b, c and 7 others"."""
    if len(items) > at_most + 1:
        items = [*items[:at_most], rest.format(count(len(items) - at_most))]
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def _significant(number: float, digits: int) -> str:
    """Round to significant digits, without exponent and trailing zeros; whole numbers keep all their digits."""
    if number == 0.0:
        return "0"
    text = f"{number:,.0f}" if abs(number) >= 10.0**digits else f"{float(f'{number:.{digits}g}'):,.10f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
