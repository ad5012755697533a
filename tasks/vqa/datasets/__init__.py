"""The datasets of visual question answering, one YAML file each."""
