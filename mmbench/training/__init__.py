"""Training: the loop, the schedule, and the state that lets a run go on after a stop."""
