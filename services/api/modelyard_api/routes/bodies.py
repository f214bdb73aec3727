"""Bodies that callers send in more than one way."""

from typing import Annotated, Any

from fastapi import Body, Depends
from fastapi.exceptions import RequestValidationError
from modelyard_contracts.commands import DeploymentUpdate
from pydantic import ValidationError

READ_ONLY = frozenset({"id", "created_at", "updated_at", "ready_replicas", "meta", "cluster_id", "seq"})
"""What a model's view shows and nobody may set: scripts read a model, change a field and send it all back."""


def deployment_update(body: Annotated[dict[str, Any], Body()]) -> DeploymentUpdate:
    try:
        return DeploymentUpdate.model_validate(
            {key: value for key, value in body.items() if key not in READ_ONLY}
        )
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error


DeploymentUpdateOf = Annotated[DeploymentUpdate, Depends(deployment_update)]
