"""What a `config.json` says of a model's layers, and how many parameters they hold."""
