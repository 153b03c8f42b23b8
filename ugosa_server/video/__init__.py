"""From pictures of players to the vectors that a job takes; runs where the video lies, not in the server."""
