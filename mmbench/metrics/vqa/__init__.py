"""Metrics of visual question answering."""
