"""``python -m netchecks`` is the command ``netchecks``."""

import sys

from netchecks.cli import main

if __name__ == "__main__":
    sys.exit(main())
