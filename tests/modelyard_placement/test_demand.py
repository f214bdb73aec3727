import pytest
from modelyard_contracts.deployments import Backend, DeploymentSpec, ExtendedKVCache, LoraAdapter, Source
from modelyard_contracts.parameters import BadParameters
from modelyard_placement.demand import demand_of
from modelyard_placement_world import model

SPEC = DeploymentSpec(source=Source.HUGGINGFACE, huggingface_repo_id="org/repo", backend=Backend.VLLM)


def test_adapters_of_which_nothing_was_read_still_have_their_place() -> None:
    spec = SPEC.model_copy(update={"lora_list": (LoraAdapter(lora_name="x", lora_repo_name="org/x"),)})
    [adapter] = demand_of("chat", spec, model=model(8)).adapters
    assert adapter.location == "org/x"


def test_parameters_that_cannot_be_read_are_refused() -> None:
    with pytest.raises(BadParameters):
        demand_of("chat", SPEC.model_copy(update={"backend_parameters": ("--x 'y",)}))


def test_what_changes_an_estimate_changes_the_key() -> None:
    key = demand_of("chat", SPEC, model=model(8)).key
    assert demand_of("other", SPEC, model=model(8), replicas=7).key == key
    others = [
        demand_of("chat", SPEC, model=model(9)),
        demand_of("chat", SPEC, model=model(8), draft=model(1)),
        demand_of("chat", SPEC.model_copy(update={"backend_version": "1"}), model=model(8)),
        demand_of("chat", SPEC.model_copy(update={"backend_parameters": ("-tp 2",)}), model=model(8)),
        demand_of(
            "chat",
            SPEC.model_copy(update={"extended_kv_cache": ExtendedKVCache(enabled=True)}),
            model=model(8),
        ),
    ]
    assert len({key, *(one.key for one in others)}) == len(others) + 1
