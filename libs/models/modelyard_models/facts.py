"""`facts_from_files`: what is known of a model, from the files that were read of it. Pure."""

from modelyard_contracts.models import GgufFacts, ModelFacts

from modelyard_models.describing.card import card_of
from modelyard_models.describing.category import category_of
from modelyard_models.describing.chat import chat_template_of, has_reasoning, has_tools
from modelyard_models.describing.evidence import Evidence, Object
from modelyard_models.describing.gguf import gguf_context, gguf_quantization
from modelyard_models.describing.modalities import modalities_of
from modelyard_models.describing.tensors import counted_parameters
from modelyard_models.describing.weight_files import format_of, weight_files
from modelyard_models.files import ModelFiles
from modelyard_models.gguf_header import merge_shards
from modelyard_models.quantization import Quantization, quantization_of
from modelyard_models.shape.count import active_parameters_of, parameters_of
from modelyard_models.shape.layers import Shape
from modelyard_models.shape.read import max_positions_of, shape_of
from modelyard_models.shape.reading import text, text_part
from modelyard_models.weights import checkpoint_of

BELIEVED = 0.05
"""A shape that explains the files up to this share tells the number of parameters."""


def facts_from_files(files: ModelFiles) -> ModelFacts:
    """Raises `BadModel`, naming the file, or `BadGguf`."""
    names = weight_files(files)
    weight_bytes = sum(files.sizes[name] for name in names)
    config = _config(files)
    gguf = merge_shards([files.headers[part] for part in files.chosen]) if files.chosen else None
    projector = files.headers.get(files.projector) if files.projector else None
    card = card_of(files.texts.get("README.md"), files.task, files.tags)
    evidence = _evidence(files, config, gguf, card.task, card.tags)
    category, rule = category_of(evidence)
    stored, shape = quantization_of(config), shape_of(config)
    parameters, active = _parameters(files, names, shape, stored, weight_bytes)
    if gguf is not None:
        parameters, active = gguf.parameters, None
    template = chat_template_of(files, gguf.metadata if gguf else {})
    return ModelFacts(
        location=files.location,
        revision=files.revision,
        format=evidence.format,
        architectures=evidence.architectures or _gguf_architecture(gguf),
        category=category,
        category_rule=rule,
        weight_bytes=weight_bytes,
        parameters=parameters,
        active_parameters=active,
        quantization=gguf_quantization(gguf) if gguf else stored.name if stored else None,
        context_length=gguf_context(gguf) if gguf else max_positions_of(text_part(config)) or None,
        languages=card.languages,
        modalities=modalities_of(evidence, category, projector),
        tools=has_tools(template),
        reasoning=has_reasoning(template),
        license=card.license or (text(gguf.metadata, "general.license") or None if gguf else None),
        config=dict(config) if config else None,
        gguf=gguf,
        projector=projector,
    )


def _config(files: ModelFiles) -> Object:
    """With the quantisation that some repositories keep in a file of its own. Raises `BadModel`."""
    config = files.json("config.json") or {}
    if config and "quantization_config" not in config:
        own = files.json("hf_quant_config.json") or {}
        said = own.get("quantization")
        if isinstance(said, dict):
            return {**config, "quantization_config": {"quant_method": "modelopt", **said}}
    return config or files.json("adapter_config.json") or {}


def _evidence(
    files: ModelFiles, config: Object, gguf: GgufFacts | None, task: str | None, tags: tuple[str, ...]
) -> Evidence:
    return Evidence(
        name=files.location.rstrip("/").rpartition("/")[2] if gguf is None else files.location,
        format=format_of(files),
        config=config if "config.json" in files.texts else {},
        files=frozenset(files.sizes),
        model_index=files.json("model_index.json") or {},
        sentence_transformers=files.json("config_sentence_transformers.json") or {},
        preprocessor=files.json("preprocessor_config.json") or {},
        configuration=files.json("configuration.json") or {},
        gguf=gguf,
        task=task,
        tags=tags,
    )


def _parameters(
    files: ModelFiles,
    names: tuple[str, ...],
    shape: Shape | None,
    stored: Quantization | None,
    weight_bytes: int,
) -> tuple[int | None, int | None]:
    """In all, and for each token: by the shape where it explains the files, else by what the files say."""
    if shape is not None and shape.vocabulary:
        checkpoint = checkpoint_of(shape, stored, weight_bytes)
        explains = weight_bytes <= 0 or checkpoint.error <= BELIEVED or abs(checkpoint.scale - 2) < BELIEVED
        if explains:
            return parameters_of(shape), active_parameters_of(shape)
    counted = counted_parameters(files, names)
    if counted is not None or stored is not None or shape is None:
        return counted, None
    return (weight_bytes // 2 or None), None


def _gguf_architecture(gguf: GgufFacts | None) -> tuple[str, ...]:
    name = text(gguf.metadata, "general.architecture") if gguf else ""
    return (name,) if name else ()
