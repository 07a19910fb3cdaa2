"""`python -m gato_dist`, and what torchrun starts."""

import sys

from gato_dist.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
