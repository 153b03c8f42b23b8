"""Running jobs: the seam, and the local engine with one worker process per device."""
