"""Experiments: the only place that ties data, models, metrics, statistics and records together."""
