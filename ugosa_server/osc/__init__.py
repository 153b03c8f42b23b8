"""Progress and control over OSC."""
