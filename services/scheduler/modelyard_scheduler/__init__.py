"""Turns desired replicas into instances, places them, restarts, replaces and removes them."""
