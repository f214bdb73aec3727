"""Touches: upstream HTTP."""
