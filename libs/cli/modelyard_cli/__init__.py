"""Command line, and the embedded stack of one machine."""
