"""From the musician's marks to activations h[i, n]."""
