"""Runs the command line for `python -m gato_dist`, which torchrun uses too."""

import sys

from gato_dist.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
