"""One-shot adaptation of a separation network to one song."""
