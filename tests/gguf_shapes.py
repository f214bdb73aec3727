"""Headers of GGUF files as llama.cpp's converters and quantizer (b11434) write them, from a model's sizes.

File types: F16, Q8_0, Q4_0, Q4_K_M, and MXFP4 experts.
"""

import json
import struct
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import Any

from modelyard_models.gguf_tensors import TYPES

DATA = Path(__file__).parent / "data" / "llama_cpp"
TYPE_IDS = {known.name: number for number, known in TYPES.items()}
Sizes = dict[str, Any]
Tensors = Iterator[tuple[str, tuple[int, ...]]]

FILE_TYPES = {"F16": "F16", "Q8_0": "Q8_0", "Q4_0": "Q4_0", "Q4_K_M": "Q4_K", "MXFP4_MOE": "Q8_0"}
FALLBACKS = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
UNQUANTISED = ("_norm.weight", "ffn_gate_inp.weight", "ssm_conv1d", "position_embd", "token_types")
F32_IN_F16 = (*UNQUANTISED, "ffn_gate_inp_shexp.weight")


def model_sizes() -> dict[str, Sizes]:
    found: dict[str, Sizes] = json.loads((DATA / "models.json").read_text())
    return found


def header(sizes: Sizes, file_type: str, more: dict[str, Any] | None = None) -> bytes:
    """The whole header, up to where the tensors' data would begin."""
    metadata = {**_metadata(sizes), **(more or {})}
    table = typed(sizes, file_type)
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(table), len(metadata))]
    parts += [_text(key) + _value(value) for key, value in metadata.items()]
    offset = 0
    for name, shape, kind in table:
        parts.append(
            _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, TYPE_IDS[kind], offset)
        )
        offset += _aligned(tensor_bytes(shape, kind))
    return b"".join(parts)


def write_sparse(path: Path, sizes: Sizes, file_type: str, more: dict[str, Any] | None = None) -> None:
    """A file of the real size that holds nothing but its header."""
    start = header(sizes, file_type, more)
    data = sum(_aligned(tensor_bytes(shape, kind)) for _, shape, kind in typed(sizes, file_type))
    with path.open("wb") as file:
        file.write(start)
        file.truncate(_aligned(len(start)) + data)


def tensor_bytes(shape: tuple[int, ...], kind: str) -> int:
    known = TYPES[TYPE_IDS[kind]]
    return prod(shape) // known.block_elements * known.block_bytes


def _aligned(size: int) -> int:
    return -(-size // 32) * 32


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Any) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    body = b"".join(_value(item)[4:] for item in value)
    return struct.pack("<I", 9) + _value(value[0])[:4] + struct.pack("<Q", len(value)) + body


def typed(sizes: Sizes, file_type: str) -> list[tuple[str, tuple[int, ...], str]]:
    """Name, shape and type of every tensor."""
    tensors = list(FAMILIES[sizes["family"]](sizes))
    mix = _Mix(sizes, file_type, [name for name, _ in tensors])
    return [(name, shape, mix.type_of(name, shape)) for name, shape in tensors]


class _Mix:
    def __init__(self, sizes: Sizes, file_type: str, names: list[str]) -> None:
        self.sizes = sizes
        self.file_type = file_type
        self.tied = "output.weight" not in names
        self.values = sum(
            name.endswith(("attn_v.weight", "attn_qkv.weight", "attn_kv_b.weight")) for name in names
        )
        self.downs = sum("ffn_down" in name for name in names) if not sizes.get("experts") else 0
        self.seen_values = self.seen_downs = 0

    def type_of(self, name: str, shape: tuple[int, ...]) -> str:
        if len(shape) < 2 or not name.endswith("weight") or any(part in name for part in F32_IN_F16):
            return "F32"
        if self.file_type == "F16":
            return "F16"
        wanted = self._wanted(name, shape)
        known = TYPES[TYPE_IDS[wanted]]
        if shape[0] % known.block_elements:
            wanted = FALLBACKS[wanted] if shape[0] % 32 == 0 else "F16"
        return wanted

    def _wanted(self, name: str, shape: tuple[int, ...]) -> str:
        plain = FILE_TYPES[self.file_type]
        if self.file_type == "MXFP4_MOE":
            return "MXFP4" if len(shape) > 2 else "Q8_0"
        if name == "output.weight" or (self.tied and name == "token_embd.weight"):
            return "Q8_0" if plain == "Q8_0" or shape[0] % TYPES[TYPE_IDS[plain]].block_elements else "Q6_K"
        if name.endswith(("attn_v.weight", "attn_qkv.weight", "attn_kv_b.weight")):
            return self._value_type(plain)
        if self.sizes.get("experts") == 8 and name.endswith("attn_k.weight"):
            return "Q8_0"
        if self.sizes.get("experts") == 8 and name.endswith("attn_output.weight") and plain == "Q4_K":
            return "Q5_K"
        return self._down_type(name, plain) if "ffn_down" in name else plain

    def _value_type(self, plain: str) -> str:
        more = self.file_type == "Q4_K_M" and _more_bits(self.seen_values, self.values)
        self.seen_values += 1
        if self.sizes.get("experts") == 8:
            return "Q8_0"
        if more:
            return "Q6_K"
        is_70b = self.sizes["family"] == "llama" and self.sizes["layers"] == 80
        return "Q5_K" if is_70b and plain == "Q4_K" else plain

    def _down_type(self, name: str, plain: str) -> str:
        at, count = self.seen_downs, self.downs
        if self.sizes.get("experts"):
            at, count = int(name.split(".")[1]), self.sizes["layers"]
        self.seen_downs += 1
        return "Q6_K" if self.file_type == "Q4_K_M" and _more_bits(at, count) else plain


def _more_bits(at: int, count: int) -> bool:
    return at < count // 8 or at >= 7 * count // 8 or (at - count // 8) % 3 == 2


def _metadata(sizes: Sizes) -> dict[str, Any]:
    family = sizes["family"]
    numbers = {
        "block_count": sizes["layers"],
        "nextn_predict_layers": sizes.get("predicting_layers"),
        "context_length": sizes["context"],
        "embedding_length": sizes["width"],
        "vocab_size": sizes["vocabulary"],
        "feed_forward_length": sizes.get("feed_forward", 0),
        "attention.head_count": sizes.get("heads", 0),
        "attention.head_count_kv": sizes.get("kv_heads"),
        "attention.key_length": sizes.get("head_length"),
        "attention.value_length": sizes.get("head_length"),
        "attention.sliding_window": sizes.get("window"),
        "attention.layer_norm_rms_epsilon": 1e-6,
        "attention.layer_norm_epsilon": 1e-6,
        "expert_count": sizes.get("experts"),
        "expert_used_count": sizes.get("experts_used"),
        "expert_feed_forward_length": sizes.get("expert_feed_forward"),
        "expert_shared_feed_forward_length": sizes.get("shared_feed_forward"),
        "expert_shared_count": sizes.get("shared_experts"),
        "leading_dense_block_count": sizes.get("dense_layers"),
        "ssm.conv_kernel": sizes.get("conv"),
        "ssm.state_size": sizes.get("state"),
        "ssm.group_count": sizes.get("groups"),
        "ssm.inner_size": sizes.get("inner"),
        "ssm.time_step_rank": sizes.get("time_rank"),
    }
    if family in ("llama", "phi3"):
        numbers["rope.dimension_count"] = sizes["width"] // sizes["heads"]
    if family in ("glm4moe", "qwen3next"):
        numbers["rope.dimension_count"] = 64
    if family == "bert":
        numbers |= {"attention.causal": False, "pooling_type": 4 if sizes.get("classes") else 2}
    if family == "deepseek2":
        numbers |= _latent_metadata(sizes)
    found = {f"{family}.{key}": value for key, value in numbers.items() if value is not None}
    if "token_types" in sizes:
        found["tokenizer.ggml.token_type_count"] = sizes["token_types"]
    return {"general.architecture": family, **found}


def _latent_metadata(sizes: Sizes) -> dict[str, Any]:
    return {
        "attention.head_count_kv": 1,
        "attention.q_lora_rank": sizes.get("query_rank"),
        "attention.kv_lora_rank": sizes["latent"],
        "attention.key_length": sizes["latent"] + sizes["rope"],
        "attention.value_length": sizes["latent"],
        "attention.key_length_mla": sizes["nope"] + sizes["rope"],
        "attention.value_length_mla": sizes["value_length"],
        "rope.dimension_count": sizes["rope"],
        "expert_weights_scale": 1.0,
    }


def _ends(sizes: Sizes) -> Tensors:
    width, vocabulary = sizes["width"], sizes["vocabulary"]
    yield "token_embd.weight", (width, vocabulary)
    yield "output_norm.weight", (width,)
    if not sizes.get("tied"):
        yield "output.weight", (width, vocabulary)


def _attention(sizes: Sizes, block: str, gates: int = 1) -> Tensors:
    width, heads = sizes["width"], sizes["heads"]
    length = sizes.get("head_length", width // heads)
    kv = sizes.get("kv_heads", heads) * length
    yield f"{block}.attn_q.weight", (width, heads * length * gates)
    yield f"{block}.attn_k.weight", (width, kv)
    yield f"{block}.attn_v.weight", (width, kv)
    yield f"{block}.attn_output.weight", (heads * length, width)


def _attention_biases(sizes: Sizes, block: str) -> Tensors:
    for name, shape in _attention(sizes, block):
        if not name.endswith("output.weight"):
            yield name.replace("weight", "bias"), shape[1:]


def _norms(sizes: Sizes, block: str, *names: str) -> Tensors:
    for name in names:
        is_of_a_head = name in ("attn_q_norm", "attn_k_norm")
        yield f"{block}.{name}.weight", (sizes["head_length"] if is_of_a_head else sizes["width"],)


def _feed_forward(sizes: Sizes, block: str) -> Tensors:
    width, inner = sizes["width"], sizes["feed_forward"]
    yield f"{block}.ffn_gate.weight", (width, inner)
    yield f"{block}.ffn_up.weight", (width, inner)
    yield f"{block}.ffn_down.weight", (inner, width)


def _experts(sizes: Sizes, block: str) -> Tensors:
    width, experts = sizes["width"], sizes["experts"]
    inner = sizes["expert_feed_forward"] if "expert_feed_forward" in sizes else sizes["feed_forward"]
    yield f"{block}.ffn_gate_inp.weight", (width, experts)
    yield f"{block}.ffn_gate_exps.weight", (width, inner, experts)
    yield f"{block}.ffn_up_exps.weight", (width, inner, experts)
    yield f"{block}.ffn_down_exps.weight", (inner, width, experts)


def _shared_expert(sizes: Sizes, block: str) -> Tensors:
    width = sizes["width"]
    inner = sizes.get("shared_feed_forward", sizes["expert_feed_forward"] * sizes.get("shared_experts", 1))
    yield f"{block}.ffn_gate_shexp.weight", (width, inner)
    yield f"{block}.ffn_up_shexp.weight", (width, inner)
    yield f"{block}.ffn_down_shexp.weight", (inner, width)


def _llama(sizes: Sizes) -> Tensors:
    yield from _ends(sizes)
    if "rope_factors" in sizes:
        yield "rope_freqs.weight", (sizes["rope_factors"],)
    for block in _blocks(sizes):
        yield from _norms(sizes, block, "attn_norm", "ffn_norm")
        yield from _attention(sizes, block)
        yield from (_experts if sizes.get("experts") else _feed_forward)(sizes, block)


def _qwen2(sizes: Sizes) -> Tensors:
    yield from _llama(sizes)
    for block in _blocks(sizes):
        yield from _attention_biases(sizes, block)


def _qwen3(sizes: Sizes) -> Tensors:
    yield from _llama(sizes)
    for block in _blocks(sizes):
        yield from _norms(sizes, block, "attn_q_norm", "attn_k_norm")


def _gemma3(sizes: Sizes) -> Tensors:
    yield from _ends({**sizes, "tied": True})
    for block in _blocks(sizes):
        yield from _norms(sizes, block, "attn_norm", "post_attention_norm", "attn_q_norm", "attn_k_norm")
        yield from _norms(sizes, block, "ffn_norm", "post_ffw_norm")
        yield from _attention(sizes, block)
        yield from _feed_forward(sizes, block)


def _phi3(sizes: Sizes) -> Tensors:
    width, inner = sizes["width"], sizes["feed_forward"]
    length = width // sizes["heads"]
    yield from _ends(sizes)
    for block in _blocks(sizes):
        yield from _norms(sizes, block, "attn_norm", "ffn_norm")
        yield f"{block}.attn_qkv.weight", (width, width + 2 * sizes["kv_heads"] * length)
        yield f"{block}.attn_output.weight", (width, width)
        yield f"{block}.ffn_up.weight", (width, 2 * inner)
        yield f"{block}.ffn_down.weight", (inner, width)


def _gpt_oss(sizes: Sizes) -> Tensors:
    width, inner, experts = sizes["width"], sizes["expert_feed_forward"], sizes["experts"]
    yield from _ends(sizes)
    for block in _blocks(sizes):
        yield from _norms(sizes, block, "attn_norm", "post_attention_norm")
        yield from _attention(sizes, block)
        yield from _attention_biases(sizes, block)
        yield f"{block}.attn_output.bias", (width,)
        yield f"{block}.attn_sinks.weight", (sizes["heads"],)
        yield from _experts(sizes, block)
        yield f"{block}.ffn_gate_inp.bias", (experts,)
        yield f"{block}.ffn_gate_exps.bias", (inner, experts)
        yield f"{block}.ffn_up_exps.bias", (inner, experts)
        yield f"{block}.ffn_down_exps.bias", (width, experts)


def _glm4moe(sizes: Sizes) -> Tensors:
    yield from _ends(sizes)
    for at, block in enumerate(_blocks(sizes)):
        yield from _norms(sizes, block, "attn_norm", "post_attention_norm")
        yield from _attention(sizes, block)
        yield from _attention_biases(sizes, block)
        if at < sizes["dense_layers"]:
            yield from _feed_forward(sizes, block)
        else:
            yield from _experts(sizes, block)
            yield f"{block}.exp_probs_b.bias", (sizes["experts"],)
            yield from _shared_expert(sizes, block)
        if at >= sizes["layers"] - sizes.get("predicting_layers", 0):
            yield f"{block}.nextn.eh_proj.weight", (2 * sizes["width"], sizes["width"])
            yield from _norms(sizes, block, "nextn.enorm", "nextn.hnorm", "nextn.shared_head_norm")


def _deepseek2(sizes: Sizes) -> Tensors:
    yield from _ends(sizes)
    for at, block in enumerate(_blocks(sizes)):
        yield from _norms(sizes, block, "attn_norm", "ffn_norm")
        yield from _latent_attention(sizes, block)
        if at < sizes["dense_layers"]:
            yield from _feed_forward(sizes, block)
            continue
        yield from _experts(sizes, block)
        if sizes.get("expert_bias"):
            yield f"{block}.exp_probs_b.bias", (sizes["experts"],)
        yield from _shared_expert(sizes, block)


def _latent_attention(sizes: Sizes, block: str) -> Tensors:
    width, heads, latent = sizes["width"], sizes["heads"], sizes["latent"]
    query = heads * (sizes["nope"] + sizes["rope"])
    if "query_rank" in sizes:
        yield f"{block}.attn_q_a.weight", (width, sizes["query_rank"])
        yield f"{block}.attn_q_a_norm.weight", (sizes["query_rank"],)
        yield f"{block}.attn_q_b.weight", (sizes["query_rank"], query)
    else:
        yield f"{block}.attn_q.weight", (width, query)
    yield f"{block}.attn_kv_a_mqa.weight", (width, latent + sizes["rope"])
    yield f"{block}.attn_kv_a_norm.weight", (latent,)
    yield f"{block}.attn_k_b.weight", (sizes["nope"], latent, heads)
    yield f"{block}.attn_v_b.weight", (latent, sizes["value_length"], heads)
    yield f"{block}.attn_output.weight", (heads * sizes["value_length"], width)


def _qwen3next(sizes: Sizes) -> Tensors:
    yield from _ends(sizes)
    for at, block in enumerate(_blocks(sizes)):
        yield from _norms(sizes, block, "attn_norm", "post_attention_norm")
        if at % 4 == 3:
            yield from _attention(sizes, block, gates=2)
            yield from _norms(sizes, block, "attn_q_norm", "attn_k_norm")
        else:
            yield from _delta_net(sizes, block)
        yield from _experts(sizes, block)
        yield f"{block}.ffn_gate_inp_shexp.weight", (sizes["width"],)
        yield from _shared_expert(sizes, block)


def _delta_net(sizes: Sizes, block: str) -> Tensors:
    width, inner, rank = sizes["width"], sizes["inner"], sizes["time_rank"]
    conv = inner + 2 * sizes["groups"] * sizes["state"]
    yield f"{block}.attn_qkv.weight", (width, conv)
    yield f"{block}.attn_gate.weight", (width, inner)
    yield f"{block}.ssm_conv1d.weight", (sizes["conv"], conv)
    yield f"{block}.ssm_dt.bias", (rank,)
    yield f"{block}.ssm_a", (rank,)
    yield f"{block}.ssm_ba.weight", (width, 2 * rank)
    yield f"{block}.ssm_norm.weight", (sizes["state"],)
    yield f"{block}.ssm_out.weight", (inner, width)


def _mamba2(sizes: Sizes) -> Tensors:
    width, inner, rank = sizes["width"], sizes["inner"], sizes["time_rank"]
    conv = inner + 2 * sizes["groups"] * sizes["state"]
    yield from _ends(sizes)
    for block in _blocks(sizes):
        yield from _norms(sizes, block, "attn_norm")
        yield f"{block}.ssm_in.weight", (width, inner + conv + rank)
        yield f"{block}.ssm_conv1d.weight", (sizes["conv"], conv)
        yield f"{block}.ssm_conv1d.bias", (conv,)
        yield f"{block}.ssm_dt.bias", (rank,)
        yield f"{block}.ssm_a", (1, rank)
        yield f"{block}.ssm_d", (1, rank)
        yield f"{block}.ssm_norm.weight", (inner // sizes["groups"], sizes["groups"])
        yield f"{block}.ssm_out.weight", (inner, width)


def _bert(sizes: Sizes) -> Tensors:
    width, inner = sizes["width"], sizes["feed_forward"]
    yield "token_embd.weight", (width, sizes["vocabulary"])
    yield "token_types.weight", (width, sizes["token_types"])
    yield "position_embd.weight", (width, sizes["context"])
    for kind in ("weight", "bias"):
        yield f"token_embd_norm.{kind}", (width,)
    if sizes.get("classes"):
        yield "cls.weight", (width, width)
        yield "cls.bias", (width,)
        yield "cls.output.weight", (width, sizes["classes"])
        yield "cls.output.bias", (sizes["classes"],)
    for block in _blocks(sizes):
        yield from _attention(sizes, block)
        yield from _attention_biases(sizes, block)
        yield f"{block}.attn_output.bias", (width,)
        yield f"{block}.ffn_up.weight", (width, inner)
        yield f"{block}.ffn_up.bias", (inner,)
        yield f"{block}.ffn_down.weight", (inner, width)
        yield f"{block}.ffn_down.bias", (width,)
        for norm in ("attn_output_norm", "layer_output_norm"):
            yield f"{block}.{norm}.weight", (width,)
            yield f"{block}.{norm}.bias", (width,)


def _blocks(sizes: Sizes) -> list[str]:
    return [f"blk.{layer}" for layer in range(sizes["layers"])]


FAMILIES: dict[str, Callable[[Sizes], Tensors]] = {
    "llama": _llama,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "qwen3moe": _qwen3,
    "gemma3": _gemma3,
    "phi3": _phi3,
    "gpt-oss": _gpt_oss,
    "glm4moe": _glm4moe,
    "deepseek2": _deepseek2,
    "qwen3next": _qwen3next,
    "mamba2": _mamba2,
    "bert": _bert,
}
