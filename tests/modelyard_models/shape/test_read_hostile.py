"""Any JSON at all is read without an error: a config is a stranger's data."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modelyard_models.quantization import quantization_of
from modelyard_models.shape.count import parameters_of
from modelyard_models.shape.read import shape_of
from real_models import models

KEYS = sorted({key for row in models().values() for key in row.get("config", {})})
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(KEYS)
NESTED: st.SearchStrategy[Any] = LEAVES | st.just({}) | st.just([])
VALUES = LEAVES | st.lists(NESTED, max_size=3) | st.dictionaries(st.sampled_from(KEYS), LEAVES, max_size=3)
CONFIGS = st.sampled_from([row["config"] for row in models().values() if row.get("config")])


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(base=CONFIGS, changes=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6))
def test_a_changed_config_is_read_or_refused(base: dict[str, Any], changes: dict[str, Any]) -> None:
    config = {**base, **changes}
    quantization_of(config)
    shape = shape_of(config)
    if shape is not None:
        assert parameters_of(shape) >= 0
