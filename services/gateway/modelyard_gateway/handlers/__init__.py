"""Carries out: one request to one instance."""
