"""What a chat template can do: it is a program, and only its text is looked at."""

import re
from collections.abc import Mapping
from typing import Any

from modelyard_models.files import ModelFiles

TOOLS = re.compile(r"\btools\b|\btool_calls?\b|<tool_call>|\[AVAILABLE_TOOLS\]")
REASONS = re.compile(
    r"<think>|</think>|\benable_thinking\b|\breasoning_content\b|\breasoning_effort\b|<\|channel\|>analysis|\bthinking\b"
)


def chat_template_of(files: ModelFiles, gguf: Mapping[str, Any]) -> str:
    """All templates of the model in one text; empty if it has none. Raises `BadModel`."""
    found = [(files.texts.get("chat_template.jinja") or b"").decode(errors="replace")]
    for name in ("chat_template.json", "tokenizer_config.json"):
        found += _templates((files.json(name) or {}).get("chat_template"))
    found += _templates(gguf.get("tokenizer.chat_template"))
    return "\n".join(found).strip()


def has_tools(template: str) -> bool:
    return TOOLS.search(template) is not None


def has_reasoning(template: str) -> bool:
    return REASONS.search(template) is not None


def _templates(value: object) -> list[str]:
    """A template, or several with a name each."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [
            text for one in value if isinstance(one, dict) and isinstance(text := one.get("template"), str)
        ]
    return []
