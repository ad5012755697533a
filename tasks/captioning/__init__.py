"""Captioning: say what an image (video, sound) shows."""
