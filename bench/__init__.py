"""`make bench`: what the server does with bytes, calls, songs and memory on this machine."""
