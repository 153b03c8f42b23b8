"""Songs with true stems to train on: sounds, arrangements, generators and real recordings."""
