"""Hears the event log."""
