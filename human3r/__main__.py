"""``python -m human3r``."""

from __future__ import annotations

import sys

from human3r.cli import main

if __name__ == "__main__":
    sys.exit(main())
