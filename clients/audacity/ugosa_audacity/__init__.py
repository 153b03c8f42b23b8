"""Client for a running Audacity: the selected track and its labels in, stems as tracks out."""
