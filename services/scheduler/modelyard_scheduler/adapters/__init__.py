"""Touches what is outside of the log."""
