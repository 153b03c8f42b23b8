"""Pictures of the players of a song, decoded in a child process and encoded as feature vectors."""

from ugosa_server.video.child import TakenPicture, jpeg_pictures, probe_in_child, video_pictures

__all__ = ["TakenPicture", "jpeg_pictures", "probe_in_child", "video_pictures"]
