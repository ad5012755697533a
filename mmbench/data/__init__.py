"""Data: samples, where they come from, and the batches that models are fed with."""
