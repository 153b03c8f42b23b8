"""Speed and memory of networks, against peers in the same run; `python -m bench` measures them too."""
