"""Runs all of Modelyard on one machine, with nothing installed."""
