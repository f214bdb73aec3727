"""What a model is, which backends can run it, and what it needs: from its metadata alone."""
