"""Metrics of captions against several references: BLEU, METEOR, ROUGE-L, CIDEr-D, SPICE."""
