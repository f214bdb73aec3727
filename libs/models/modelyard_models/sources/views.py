"""What people and scripts see of a source: the api's JSON, and the command line's without an api."""

import math
from collections.abc import Collection
from typing import Any

from modelyard_contracts.models import ModelFacts

from modelyard_models.backends import ABILITIES, CPU, default_backend, refusals
from modelyard_models.sources.inspecting import Inspection
from modelyard_models.sources.port import Found, Search

View = dict[str, Any]

ANYWHERE = frozenset({CPU}).union(*(able.accelerators or () for able in ABILITIES.values()))


def view_of(inspection: Inspection, accelerators: Collection[str] = ()) -> View:
    repository = inspection.repository
    return {
        **repository.model_dump(mode="json", exclude={"sizes", "pinned", "file"}),
        **view_of_facts(inspection.facts, accelerators),
        "files": [{"path": path, "size": size} for path, size in sorted(repository.sizes.items())],
        "gguf_files": [choice.model_dump() for choice in inspection.gguf],
        "readme": inspection.readme,
    }


def view_of_facts(facts: ModelFacts, accelerators: Collection[str] = ()) -> View:
    """`backends`: of each why it cannot run the model on such devices (any, if none are named), or null."""
    return {
        "facts": facts.model_dump(mode="json"),
        "default_backend": default_backend(facts.format, facts.category, accelerators).value,
        "backends": {name.value: why for name, why in refusals(facts, accelerators or ANYWHERE).items()},
    }


def page_of(found: Found, wanted: Search) -> View:
    """Where the hub does not tell how many there are, `total` counts what is known of."""
    known = (wanted.page - 1) * wanted.per_page + len(found.models) + int(found.has_more)
    total = known if found.total is None else found.total
    return {
        "items": [model.model_dump(mode="json") for model in found.models],
        "pagination": {
            "page": wanted.page,
            "perPage": wanted.per_page,
            "total": total,
            "totalPage": max(math.ceil(total / wanted.per_page), 1),
        },
    }
