"""One kind of fact, one writer: only the owner's code constructs an event."""

import ast
from collections.abc import Iterator
from pathlib import Path

from modelyard_contracts.base import Owner
from modelyard_contracts.events import EVENT_TYPES
from modelyard_eventlog.asyncapi import document

ROOT = Path(__file__).parent.parent


def constructed(package: Path) -> Iterator[tuple[str, Path, int]]:
    """The events that a package's code calls into being, with where."""
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in EVENT_TYPES:
                yield node.func.id, path.relative_to(ROOT), node.lineno


def test_only_the_owner_constructs_an_event() -> None:
    strays = [
        f"{path}:{line} constructs {name}, which {EVENT_TYPES[name].owner} owns"
        for owner in Owner
        for name, path, line in constructed(ROOT / "services" / owner.value)
        if EVENT_TYPES[name].owner is not owner
    ]
    assert strays == []
    assert list(constructed(ROOT / "libs")) == []


def test_every_event_is_published_and_documented() -> None:
    published = {name for owner in Owner for name, _, _ in constructed(ROOT / "services" / owner.value)}
    assert published == set(document(version="1")["channels"])
