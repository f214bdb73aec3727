"""What the compose stack is started with: its secrets, and the keys and certificates made from them."""
