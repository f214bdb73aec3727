"""Inference backends: which are built in, and the command line that a deployment's model is served with."""
