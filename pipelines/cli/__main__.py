"""`python -m pipelines.cli`: the `heml` command where it is not on the path."""

import sys

from pipelines.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
