"""The contracts of parts as checks, which `mmbench check`, the tests and `compare` run."""
