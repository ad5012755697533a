"""What a stage of training can minimise: one file an objective."""
