"""Training the Conditioned U-Net by mix-and-separate."""
