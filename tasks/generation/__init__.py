"""Generation: draw the image that a text describes."""
