"""Decoding of strangers' audio files, in a child process with limits."""
