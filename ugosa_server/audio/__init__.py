"""Decode, resample and encode audio; exact-null arithmetic."""
