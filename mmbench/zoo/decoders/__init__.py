"""Decoders: a fused stream -> an output: a label, a text, an image, a matching score."""
