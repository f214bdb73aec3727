"""A model's card: the few lines between dashes at the top of README.md, and the hub's tags."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

FRONT_MATTER = re.compile(rb"\A\xef?\xbb?\xbf?\s*---\r?\n(.*?)\r?\n---", re.DOTALL)
MOST_BYTES = 256 * 1024
MOST_ITEMS = 200
KEY = re.compile(r"([A-Za-z_][\w-]*):\s*(.*)")
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,4})?")


@dataclass(frozen=True, slots=True)
class Card:
    task: str | None = None
    license: str | None = None
    languages: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


def card_of(readme: bytes | None, hub_task: str | None, hub_tags: Iterable[str]) -> Card:
    """The hub's words beside those of the card itself, which win."""
    said = _front_matter(readme or b"")
    hub = [str(tag) for tag in hub_tags][:MOST_ITEMS]
    licenses = [tag.removeprefix("license:") for tag in hub if tag.startswith("license:")]
    license = _first(said, "license") or next(iter(licenses), None)
    if license == "other":
        license = _first(said, "license_name") or license
    tags = tuple(dict.fromkeys((*said.get("tags", []), *hub)))
    languages = said.get("language", []) or [tag for tag in hub if re.fullmatch("[a-z]{2}", tag)]
    return Card(
        task=_first(said, "pipeline_tag") or hub_task,
        license=license,
        languages=tuple(one for one in languages if LANGUAGE.fullmatch(one)),
        tags=tags,
    )


def _first(said: dict[str, list[str]], key: str) -> str | None:
    return next(iter(said.get(key, [])), None)


def _front_matter(readme: bytes) -> dict[str, list[str]]:
    """Keys with their one value or their list; what is nested deeper is left out."""
    found = FRONT_MATTER.match(readme[:MOST_BYTES])
    if found is None:
        return {}
    said: dict[str, list[str]] = {}
    key = ""
    for line in found[1].decode(errors="replace").splitlines():
        item = re.fullmatch(r"\s{0,2}-\s+(.*)", line)
        if item and key:
            if len(said[key]) < MOST_ITEMS:
                said[key].append(_plain(item[1]))
        elif named := KEY.fullmatch(line):
            key = named[1]
            said[key] = _values(named[2])
    return said


def _values(text: str) -> list[str]:
    if text.startswith("[") and text.endswith("]"):
        return [_plain(one) for one in text[1:-1].split(",")[:MOST_ITEMS] if one.strip()]
    return [_plain(text)] if text.strip() else []


def _plain(text: str) -> str:
    return text.split(" #")[0].strip().strip("'\"")
