"""Readers: one file per layout of a dataset's files."""
