"""SQL lives in files of its own, beside the code that runs it."""

from functools import cache
from importlib.resources import files


@cache
def statement(package: str, name: str) -> str:
    """Return the statement in `<name>.sql` of a package."""
    return (files(package) / f"{name}.sql").read_text()
