"""Generation: draw an image that shows what a prompt says."""
