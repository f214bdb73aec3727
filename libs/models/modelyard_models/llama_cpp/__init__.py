"""What llama.cpp needs of memory, from a GGUF header and llama-server's flags."""
