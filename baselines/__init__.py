"""Reference recipes (YAML), their weights (safetensors) and their scores."""
