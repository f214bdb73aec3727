"""The REST API: hears wishes, states them as events, and shows what the log came to."""
