"""Metrics: statistics per sample, an aggregate over them, a signature."""
