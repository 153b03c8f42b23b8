"""Marks files of DAWs and audio editors: named regions, read into marks of the model's sources."""
