"""Training data and training loops."""
