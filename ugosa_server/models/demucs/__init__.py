"""Networks of demucs 4: sizes, and the network built by the package demucs."""
