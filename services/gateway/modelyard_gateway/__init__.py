"""The data plane: finds the route, checks the key, picks an instance and streams, all from memory."""
