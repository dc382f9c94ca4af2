"""``python -m genrec`` is ``genrec``."""

import os
import sys
from pathlib import Path

# Python looks for modules in the working folder first, which may be anybody's.
if sys.path[0] == os.getcwd() and Path(__file__).parents[1] != Path.cwd():
    del sys.path[0]

from genrec.cli import main

main()
