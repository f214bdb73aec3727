"""Hears NATS and the clock, and calls handlers."""
