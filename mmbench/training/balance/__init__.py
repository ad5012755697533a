"""Balancing methods: what keeps one modality of a model from learning at another's expense."""
