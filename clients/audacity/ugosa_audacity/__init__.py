"""The selected track of a running Audacity and its labels to a UGOSA server, and stems back as tracks."""
