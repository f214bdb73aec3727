"""Decides. Pure: time, chance and ids come in as arguments."""
