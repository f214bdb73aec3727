"""How a checkpoint's weights are stored, and what stays in 16 bit: from `quantization_config`."""

import re
from dataclasses import dataclass

from modelyard_models.shape.count import Role
from modelyard_models.shape.reading import Config, flag, integer, items, section, text, text_part

LINEAR_ROLES = frozenset({Role.ATTENTION, Role.DENSE, Role.EXPERTS, Role.SHARED_EXPERTS, Role.ENCODER})
WITHOUT_ENCODER = LINEAR_ROLES - {Role.ENCODER}


@dataclass(frozen=True, slots=True)
class Quantization:
    name: str
    """As in `fp8`, `awq`, `gptq`, `w8a8`, `w4a16`, `nvfp4`, `mxfp4`, `bitsandbytes`."""
    bytes_per_weight: float
    """Of a quantised weight, with its share of scales and zeros."""
    roles: frozenset[Role] = WITHOUT_ENCODER
    """The parts that are quantised; the rest stays in 16 bit."""
    block: int | None = None
    """A device's share of a feed-forward's width must be a multiple of it."""


LARGEST_BLOCK = 4096
MOST_PATTERNS = 50_000
MXFP4 = Quantization("mxfp4", 0.5 + 1 / 32, frozenset({Role.EXPERTS}))
"""Four bits, and a scale of eight for each block of 32."""
NVFP4_BYTES = 0.5 + 1 / 16
"""Four bits, and a scale of eight for each block of 16."""
FP8_BYTES = 1 + 4 / 128**2
"""Eight bits, and a scale of 32 for each block of 128 by 128."""
BITSANDBYTES_4_BYTES = 0.5 + 4 / 64
"""Four bits, and a scale of 32 for each block of 64."""
BITSANDBYTES_DOUBLE_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""With scales that are quantised themselves, in blocks of 256."""
INT8 = Quantization("w8a8", 1.0)
FP8 = Quantization("fp8", FP8_BYTES)
NVFP4 = Quantization("nvfp4", NVFP4_BYTES)
BY_NAME = {
    "fp8": FP8,
    "fbgemm_fp8": FP8,
    "ptpc_fp8": FP8,
    "mxfp4": MXFP4,
    "nvfp4": NVFP4,
    "modelopt_fp4": NVFP4,
    "bitsandbytes": Quantization("bitsandbytes", BITSANDBYTES_4_BYTES),
    "int8": INT8,
    "w8a8": INT8,
    "w8a8_int8": INT8,
    "w8a8_fp8": FP8,
    "experts_int8": Quantization("w8a8", 1.0, frozenset({Role.EXPERTS})),
}
"""Schemes that their name tells all about, and those a backend applies while it loads 16-bit weights."""


def quantization_of(config: Config) -> Quantization | None:
    """None: 16 bit, or nothing is said of it."""
    part = text_part(config)
    said = section(config, "quantization_config") or section(part, "quantization_config")
    said = said or section(config, "compression_config")
    method = text(said, "quant_method").lower()
    algorithm = text(said, "quant_algo").upper()
    if not said:
        named = text(config, "quantize").lower()  # MindIE's own key
        return BY_NAME.get(named.removesuffix("_dynamic"))
    found = _by_method(said, method) or _by_algorithm(algorithm) or _by_groups(said)
    if found is None:
        return None
    kept = kept_roles(_patterns(said), integer(part, "num_hidden_layers") or 1)
    return Quantization(found.name, found.bytes_per_weight, found.roles - kept, _block_of(said, found))


def cache_element_bytes(config: Config) -> float | None:
    """Of the KV cache, where the checkpoint asks for fewer bits than the model has: ModelOpt by name
    (`kv_cache_quant_algo`), compressed-tensors by a scheme, which vLLM takes for eight bits (vLLM 0.32:
    `utils/torch_utils.py`, `attention.py`)."""
    said = section(config, "quantization_config") or section(text_part(config), "quantization_config")
    scheme = section(said, "kv_cache_scheme")
    named = text(said, "kv_cache_quant_algo").lower() or text(said, "kv_cache_scheme").lower()
    if text(said, "quant_method").lower().startswith("modelopt"):
        bits = integer(scheme, "num_bits") if text(scheme, "type") == "float" else None
        named = named or {8: "fp8", 4: "nvfp4"}.get(bits or 0, "")
        return {"fp8": 1.0, "nvfp4": NVFP4_BYTES}.get(named)
    return 1.0 if scheme and not text_part(config).get("kv_lora_rank") else None


def _block_of(said: Config, found: Quantization) -> int | None:
    """Of scales over blocks (DeepSeek's FP8) and over groups (AWQ, GPTQ)."""
    sizes = items(said, "weight_block_size")
    if sizes and type(sizes[0]) is int and 0 < sizes[0] <= LARGEST_BLOCK:
        return sizes[0]
    return integer(said, "group_size", "q_group_size") if found.name in ("awq", "gptq") else None


def _by_method(said: Config, method: str) -> Quantization | None:
    if method == "fp8" and "config_groups" in said:
        return _by_groups(said)
    if method in ("awq", "gptq", "auto-round", "auto_round", "gptq_marlin", "awq_marlin"):
        bits, group = integer(said, "bits", "w_bit") or 4, integer(said, "group_size", "q_group_size") or 128
        has_zeros = method.startswith("awq") or not flag(said, "sym", default=True)
        name = "awq" if method.startswith("awq") else "gptq"
        return Quantization(name, bits / 8 + (2 + (bits / 8 if has_zeros else 0)) / group)
    if method == "bitsandbytes":
        is_double = flag(said, "bnb_4bit_use_double_quant")
        four = BITSANDBYTES_DOUBLE_BYTES if is_double else BITSANDBYTES_4_BYTES
        return Quantization(method, four if flag(said, "load_in_4bit", default=True) else 1.0)
    return BY_NAME.get(method)


def _by_algorithm(algorithm: str) -> Quantization | None:
    if algorithm.startswith("W4A16") or "AWQ" in algorithm:
        return Quantization("awq", 0.5 + 2 / 128)
    if algorithm == "MIXED_PRECISION":
        return Quantization("mixed", FP8_BYTES)
    return NVFP4 if "FP4" in algorithm else FP8 if "FP8" in algorithm else None


def _by_groups(said: Config) -> Quantization | None:
    """compressed-tensors: the first group speaks for all."""
    groups = [one for one in section(said, "config_groups").values() if isinstance(one, dict)]
    weights = section(groups[0], "weights") if groups else {}
    bits = integer(weights, "num_bits")
    if bits is None:
        return None
    size, is_float = integer(weights, "group_size"), text(weights, "type") == "float"
    if bits == 8:
        return FP8 if is_float else INT8
    if is_float and bits == 4:
        return NVFP4 if size == 16 else Quantization("mxfp4", MXFP4.bytes_per_weight)
    zeros = 0 if flag(weights, "symmetric", default=True) else bits / 8
    return Quantization(f"w{bits}a16", bits / 8 + (2 + zeros) / (size or 128))


def _patterns(said: Config) -> list[str]:
    names = ("modules_to_not_convert", "ignore", "ignored_layers", "exclude_modules", "llm_int8_skip_modules")
    return [str(one)[:200] for name in names for one in items(said, name)[:MOST_PATTERNS]]


KEEPERS = {
    Role.ATTENTION: re.compile(r"(self_)?attn|attention"),
    Role.EXPERTS: re.compile(r"\bexperts|block_sparse_moe"),
    Role.SHARED_EXPERTS: re.compile(r"shared_expert"),
    Role.DENSE: re.compile(r"\bmlp(?!.*(gate\b|router|expert))"),
}


def kept_roles(patterns: list[str], layers: int) -> frozenset[Role]:
    """The parts that these names of modules keep in 16 bit: named for every layer, or by a pattern."""
    kept = set()
    for role, name in KEEPERS.items():
        found = [one for one in patterns if name.search(one)]
        whole = any("*" in one or one.startswith("re:") or not re.search(r"\d", one) for one in found)
        numbers = {match.group() for one in found if (match := re.search(r"\d+", one))}
        if whole or len(numbers) > layers // 2:
            kept.add(role)
    return frozenset(kept)
