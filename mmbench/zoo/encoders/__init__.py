"""Encoders: one modality -> a stream of token vectors."""
