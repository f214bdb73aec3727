from typing import Any

import pytest
from modelyard_contracts.commands import DeploymentUpdate
from modelyard_contracts.complaints import complaint
from pydantic import ValidationError


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"replicas": "x"}, "must be a whole number"),
        ({"replicas": -1}, "must be greater than or equal to 0"),
        ({"worker_selector": 3}, "must be an object"),
        ({"nothing": 1}, "is not a field that can be set here"),
        ({"description": "\0"}, "description: holds a NUL character"),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(said: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        DeploymentUpdate.model_validate(said)
    assert complaint(refused.value.errors()[0]) == words
