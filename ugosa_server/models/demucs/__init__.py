"""demucs 4's networks as a backend."""
