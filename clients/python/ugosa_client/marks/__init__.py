"""Marks files of DAWs and audio editors: named regions as marks of the model's sources."""
