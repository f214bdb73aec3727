"""Decides: what the table holds, who may call what, which instance is next. Pure."""
