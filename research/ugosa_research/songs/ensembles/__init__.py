"""Rendered performances of ensembles, out of scores and soundfonts of the package registries."""
