"""What a model is, from the small files beside its weights."""
