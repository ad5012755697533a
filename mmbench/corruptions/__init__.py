"""Corruptions: ways in which an input is damaged, each at several levels; a file each."""
