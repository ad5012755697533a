"""Tests of mmbench. A package, so that the `tests` of another distribution do not hide it."""
