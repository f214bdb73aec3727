"""A real GGUF model of a few hundred kilobytes with random weights: llama.cpp loads and serves it at once."""

import sys
from pathlib import Path

import gguf
import numpy as np

LAYERS = 2
WIDTH = 64
HEADS = 4
FEED_FORWARD = 128
CONTEXT = 2048
RANK = 4
"""Of adapters."""
SIGHT, IMAGE, PATCH = 32, 32, 8
"""Of projectors: their width, pixels of an image and of a patch to a side."""
FILE_TYPES = {
    "F32": gguf.LlamaFileType.ALL_F32,
    "F16": gguf.LlamaFileType.MOSTLY_F16,
    "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "Q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
}
TEMPLATE = (
    "{% for message in messages %}<s>{{ message['role'] }}: {{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant: {% endif %}"
)


def write_tiny_gguf(path: Path, kind: str = "F32") -> None:
    """Writes a llama-architecture model: byte tokens, seeded random weights, a chat template. `kind` is that
    of its matrices: F32, F16, Q8_0, Q4_0."""
    random = np.random.default_rng(7)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_file_type(FILE_TYPES[kind])
    tokens, kinds = _vocabulary()
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(TEMPLATE)
    _add_weights(writer, random, len(tokens), gguf.GGMLQuantizationType[kind])
    _write(writer)


def write_tiny_lora(path: Path, seed: int = 11) -> None:
    """Writes an adapter of rank 4 that changes every attention of the model, and much."""
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, 32.0)
    for layer in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            for part, shape in (("lora_a", (RANK, WIDTH)), ("lora_b", (WIDTH, RANK))):
                values = random.standard_normal(shape).astype(np.float32)
                writer.add_tensor(f"blk.{layer}.{name}.weight.{part}", values)
    _write(writer)


def write_tiny_projector(path: Path) -> None:
    """Writes what makes tokens of images for the model: a vision transformer of two layers (CLIP, LLaVA)."""
    random = np.random.default_rng(3)
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type(gguf.GGUFType.MMPROJ)
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_projector_type("mlp")
    writer.add_vision_use_gelu(True)
    writer.add_vision_image_size(IMAGE)
    writer.add_vision_patch_size(PATCH)
    writer.add_vision_embedding_length(SIGHT)
    writer.add_vision_feed_forward_length(SIGHT)
    writer.add_vision_block_count(LAYERS)
    writer.add_vision_projection_dim(WIDTH)
    writer.add_vision_head_count(HEADS)
    writer.add_vision_attention_layernorm_eps(1e-5)
    writer.add_vision_image_mean([0.5] * 3)
    writer.add_vision_image_std([0.5] * 3)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)

    def tensor(name: str, *shape: int) -> None:
        writer.add_tensor(name, (random.standard_normal(shape) * 0.1).astype(np.float32))

    tensor("v.class_embd", SIGHT)
    tensor("v.patch_embd.weight", SIGHT, 3, PATCH, PATCH)
    tensor("v.position_embd.weight", (IMAGE // PATCH) ** 2 + 1, SIGHT)
    blocks = [f"v.blk.{layer}" for layer in range(LAYERS)]
    for name in ("v.pre_ln", *(f"{block}.{norm}" for block in blocks for norm in ("ln1", "ln2"))):
        writer.add_tensor(f"{name}.weight", np.ones(SIGHT, dtype=np.float32))
        tensor(f"{name}.bias", SIGHT)
    matrices = ("attn_q", "attn_k", "attn_v", "attn_out", "ffn_up", "ffn_down")
    for name in (f"{block}.{matrix}" for block in blocks for matrix in matrices):
        tensor(f"{name}.weight", SIGHT, SIGHT)
        tensor(f"{name}.bias", SIGHT)
    for name, width in (("mm.0", SIGHT), ("mm.2", WIDTH)):
        tensor(f"{name}.weight", WIDTH, width)
        tensor(f"{name}.bias", WIDTH)
    _write(writer)


def _write(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _vocabulary() -> tuple[list[str], list[int]]:
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    kinds += [gguf.TokenType.BYTE] * 256
    letters = [chr(code) for code in range(32, 127)]
    tokens += ["▁" if letter == " " else letter for letter in letters]
    kinds += [gguf.TokenType.NORMAL] * len(letters)
    return tokens, [int(kind) for kind in kinds]


def _add_weights(
    writer: gguf.GGUFWriter, random: np.random.Generator, vocabulary: int, kind: gguf.GGMLQuantizationType
) -> None:
    def tensor(name: str, *shape: int) -> None:
        weights = (random.standard_normal(shape) * 0.1).astype(np.float32)
        writer.add_tensor(name, gguf.quantize(weights, kind), raw_dtype=kind)

    def ones(name: str) -> None:
        writer.add_tensor(name, np.ones(WIDTH, dtype=np.float32))

    tensor("token_embd.weight", vocabulary, WIDTH)
    tensor("output.weight", vocabulary, WIDTH)
    ones("output_norm.weight")
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        ones(f"{block}.attn_norm.weight")
        ones(f"{block}.ffn_norm.weight")
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensor(f"{block}.{name}.weight", WIDTH, WIDTH)
        tensor(f"{block}.ffn_gate.weight", FEED_FORWARD, WIDTH)
        tensor(f"{block}.ffn_up.weight", FEED_FORWARD, WIDTH)
        tensor(f"{block}.ffn_down.weight", WIDTH, FEED_FORWARD)


if __name__ == "__main__":
    write_tiny_gguf(Path(sys.argv[1]))
