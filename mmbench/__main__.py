"""`python -m mmbench`, and `accelerate launch -m mmbench`: the command line."""

from mmbench.cli import main

if __name__ == "__main__":
    main()
