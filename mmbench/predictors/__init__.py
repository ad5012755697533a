"""Predictors that are no composed models."""
