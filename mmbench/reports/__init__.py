"""Reports: comparable tables made from records."""
