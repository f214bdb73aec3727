"""What a caller may say of a list, in the query string. What is not known is refused by name."""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import Request
from sqlalchemy import and_
from starlette.datastructures import QueryParams

from modelyard_api.domain.errors import MOST_BIGINT, invalid
from modelyard_api.projections.lists import Condition, Listing
from modelyard_api.projections.rows import ReadModel

COMMON = frozenset({"page", "perPage", "sort_by", "watch", "since", "min_seq", "search"})
MOST_PER_PAGE = 1000
DEFAULT_PER_PAGE = 100
SEARCHED = {"users": "username", "inference-backends": "backend_name"}

EQUAL: Mapping[str, Mapping[str, type]] = {
    "models": {"cluster_id": int, "backend": str, "source": str},
    "model-instances": {"id": int, "model_id": int, "worker_id": int, "cluster_id": int, "state": str},
    "workers": {"name": str, "cluster_id": int, "state": str},
    "model-routes": {"created_model_id": int},
    "model-providers": {},
    "model-facts": {"source": str, "format": str, "category": str},
    "model-files": {"worker_id": int, "source": str, "state": str},
    "clusters": {},
    "inference-backends": {"backend_name": str, "backend_source": str},
    "users": {},
    "api-keys": {},
}

MODEL_STATES: Mapping[str, Condition] = {
    "ready": Condition(lambda c: c.ready_replicas > 0, lambda v: v["ready_replicas"] > 0),
    "not_ready": Condition(
        lambda c: and_(c.ready_replicas == 0, c.replicas > 0),
        lambda v: v["ready_replicas"] == 0 and v["replicas"] > 0,
    ),
    "stopped": Condition(lambda c: c.replicas == 0, lambda v: v["replicas"] == 0),
}


def listing_of(request: Request, model: ReadModel) -> Listing:
    """Raises `Refusal` (422) naming the parameter."""
    query = request.query_params
    equal = EQUAL[model.resource]
    extra = frozenset({"categories", "state"}) if model.resource == "models" else frozenset()
    for name in query:
        if name not in COMMON | equal.keys() | extra:
            raise invalid(f"{name}: is not a parameter of this list")
    conditions = [
        _equals(name, _typed(name, query[name], kind)) for name, kind in equal.items() if name in query
    ]
    if query.get("search"):
        conditions.append(_contains(SEARCHED.get(model.resource, "name"), query["search"]))
    if model.resource == "models":
        conditions += _of_models(query)
    page, per_page = paging(query)
    return Listing(conditions, _sort(query.get("sort_by", ""), model), page, per_page)


def paging(query: QueryParams) -> tuple[int, int]:
    """Page and how many there are on one. Raises `Refusal` (422)."""
    page: int = _typed("page", query.get("page", "1"), int)
    return page, _per_page(query.get("perPage", str(DEFAULT_PER_PAGE)))


def number(query: QueryParams, name: str) -> int | None:
    """Raises `Refusal` (422)."""
    return _typed(name, query[name], int) if name in query else None


def flag(query: QueryParams, name: str) -> bool:
    """Raises `Refusal` (422)."""
    text = query.get(name, "false").lower()
    if text not in ("true", "false", "1", "0"):
        raise invalid(f"{name}: {text!r} is neither true nor false")
    return text in ("true", "1")


def _typed(name: str, text: str, kind: Callable[[str], Any]) -> Any:
    try:
        value = kind(text)
    except ValueError:
        raise invalid(f"{name}: {text!r} is not a whole number") from None
    if isinstance(value, int) and abs(value) > MOST_BIGINT:
        raise invalid(f"{name}: {text!r} is beyond what is counted")
    return value


def _per_page(text: str) -> int:
    count: int = _typed("perPage", text, int)
    if not 1 <= count <= MOST_PER_PAGE:
        raise invalid(f"perPage: must be between 1 and {MOST_PER_PAGE}")
    return count


def _equals(name: str, value: Any) -> Condition:
    return Condition(lambda c: c[name] == value, lambda view: view.get(name) == value)


def _contains(name: str, text: str) -> Condition:
    lowered = text.lower()
    return Condition(
        lambda c: c[name].icontains(text, autoescape=True), lambda view: lowered in str(view[name]).lower()
    )


def _of_models(query: QueryParams) -> list[Condition]:
    conditions: list[Condition] = []
    wanted = [*query.getlist("categories")]
    if wanted:
        conditions.append(
            Condition(lambda c: c.categories.overlap(wanted), lambda v: bool({*wanted} & {*v["categories"]}))
        )
    if "state" in query:
        if query["state"] not in MODEL_STATES:
            raise invalid(f"state: {query['state']!r} is none of {', '.join(MODEL_STATES)}")
        conditions.append(MODEL_STATES[query["state"]])
    return conditions


def _sort(text: str, model: ReadModel) -> list[tuple[str, bool]]:
    """`a,-b`; by default what was created last comes first."""
    if not text:
        return [("created_at", True)]
    fields = [(part.strip().removeprefix("-"), part.strip().startswith("-")) for part in text.split(",")]
    for name, _ in fields:
        if name not in model.sortable:
            raise invalid(f"sort_by: {name!r} is none of {', '.join(sorted(model.sortable))}")
    return fields
