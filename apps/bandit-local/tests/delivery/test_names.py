"""Names in the code are the field's: none of the words that the project once had for itself."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[4]
SOURCES = sorted(
    path
    for folder in (*(REPOSITORY / "apps").glob("*/src"), REPOSITORY / "grafana" / "dashboards")
    for path in folder.rglob("*.py")
)
PRIVATE = frozenset(
    {
        *("door", "hot", "chooser", "demand", "choice", "ticket", "tickets", "circumstances", "lane", "intake"),
        *(
            "refill",
            "doubt",
            "committer",
            "tentative",
            "condemned",
            "teach",
            "crowd",
            "rig",
            "drill",
            "house",
            "believed",
        ),
        *("linear_fold", "gathered_writes", "parts_away"),
    }
)
PARTS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")


def identifiers(path: Path) -> Iterator[str]:
    yield path.stem
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.arg():
                yield node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr


def words_in(name: str) -> set[str]:
    return {name.lower(), *(part.lower() for part in PARTS.findall(name))}


def test_no_name_is_a_private_word() -> None:
    found = [(str(path.relative_to(REPOSITORY)), name) for path in SOURCES for name in identifiers(path)]
    assert [(path, name) for path, name in found if words_in(name) & PRIVATE] == []


def test_a_private_word_would_be_seen() -> None:
    assert words_in("McpDoor") & PRIVATE
    assert words_in("_hot_path") & PRIVATE
    assert not words_in("photograph") & PRIVATE
