"""Retrieval: find the image (video, sound) of a text, and the texts of an image."""
