"""Fusions: a query stream and its context streams -> a fused stream on the query's positions."""
