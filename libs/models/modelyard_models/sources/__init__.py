"""Where models come from: Hugging Face, ModelScope, a local path. Only what describes a model is read."""
