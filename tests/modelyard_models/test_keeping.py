from modelyard_contracts.models import GgufFacts, ModelFacts, ModelFormat
from modelyard_models.keeping import MOST_BYTES, kept

FACTS = ModelFacts(location="a", format=ModelFormat.SAFETENSORS, weight_bytes=1)


def test_label_lists_and_templates_are_not_kept() -> None:
    gguf = GgufFacts(
        metadata={"general.architecture": "llama", "tokenizer.chat_template": "x" * 5000},
        vocabulary_size=1,
        parameters=1,
        groups=(),
    )
    slim = kept(FACTS.model_copy(update={"config": {"id2label": {"0": "a"}, "hidden_size": 8}, "gguf": gguf}))
    assert slim.config == {"hidden_size": 8}
    assert slim.gguf is not None
    assert slim.gguf.metadata == {"general.architecture": "llama"}


def test_whatever_a_config_holds_the_facts_fit_into_an_event() -> None:
    config = {"hidden_size": 8, "huge": list(range(100_000)), "large": "y" * 100_000}
    slim = kept(FACTS.model_copy(update={"config": config}))
    assert len(slim.model_dump_json()) <= MOST_BYTES
    assert slim.config == {"hidden_size": 8, "large": "y" * 100_000}
