"""Carries out: look at the picture, decide, append."""
