"""The part that Ardour's Lua cannot do: calls to the server, audio files, closed sessions."""
