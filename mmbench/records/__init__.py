"""Records: what a run leaves, where it lies, and how it is known again."""
