"""python -m auth_middleware: commands for operators."""

import sys

from auth_middleware.cli import main

sys.exit(main())
