"""Training and evaluation of the networks of UGOSA Server."""
