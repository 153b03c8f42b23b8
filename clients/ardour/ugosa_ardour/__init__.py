"""What Ardour's Lua cannot do: talk to the server, cut audio files, and add sources to a closed session."""
