"""Four stems in two stages: Spleeter's vocals, then a ConvTasNet on the accompaniment."""
