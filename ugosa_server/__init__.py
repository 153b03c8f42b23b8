"""UGOSA Server: music source separation adapted to one song under the musician's marks."""

__version__ = "0.1.0"
