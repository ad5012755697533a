"""Metrics of generated images: distances between sets of features, and CLIPScore."""
