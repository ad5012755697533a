"""Statistics of a comparison: intervals, paired tests, corrections."""
