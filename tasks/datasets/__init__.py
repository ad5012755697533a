"""Datasets of several tasks, one YAML file each."""
