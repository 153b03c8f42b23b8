"""Engine on a Ray cluster: many GPUs and machines (extra `ray`)."""
