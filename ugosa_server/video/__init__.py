"""From pictures of players to vectors, in a worker for its jobs, or from the shell where the video lies."""
