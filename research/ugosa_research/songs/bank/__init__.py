"""The sample bank: recorded notes, drums, loops and voices from which songs are made."""
