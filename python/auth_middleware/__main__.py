"""python -m auth_middleware: what an operator does by hand."""

import sys

from auth_middleware.cli import main

sys.exit(main())
