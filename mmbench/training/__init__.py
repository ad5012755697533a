"""Training: the loop, the schedule, and the state that lets a run go on after a stop."""

VERSION = 2  # of training: raised when the same settings and data give other weights
STATE_FILE = "state.safetensors"  # in the folder of a training that goes on
JOINT_VERSION = 1  # of how several tasks are trained together
