"""Append, read, follow. The only place that knows NATS subjects."""
