"""Where a training's curves can be followed besides `log.jsonl`, which stays the truth."""
