"""Hears HTTP."""
