"""Predictors that are not composed models."""
