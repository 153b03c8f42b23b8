"""Spleeter (Hennequin et al. 2020): U-Nets on the spectrogram of the mix, one a source."""
