"""What crosses a process: events, messages, commands, views. Pydantic only."""
