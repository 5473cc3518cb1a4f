"""`python -m pipelines.reference [FOLDER]`: writes the generated pages of docs/."""

import sys
from pathlib import Path

from pipelines.reference.pages import write_pages

if __name__ == "__main__":
    for path in write_pages(Path(sys.argv[1] if len(sys.argv) > 1 else "docs")):
        print(path)
