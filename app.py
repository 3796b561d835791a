"""Start the web demo: ``python app.py [--host H] [--port P] [--model NAME_OR_PATH] [--body PATH]``."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress

with suppress(ImportError):
    import spaces  # noqa: F401 - on a Space with lent GPUs it patches torch and must be imported before it  # pyright: ignore[reportMissingImports, reportUnusedImport]

from demo.settings import parse_settings


def main() -> int:
    """Parse the command line, serve until Ctrl+C, and return the exit code."""
    settings = parse_settings()
    # Before torch and NumPy are loaded: threads without work sleep instead of spinning, because a visitor's browser may
    # draw on the same cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from demo.server import serve  # slow to import; wrong options are reported before

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return serve(settings)


if __name__ == "__main__":
    exit_code = 0
    with suppress(KeyboardInterrupt):
        exit_code = main()
    sys.stdout.flush()
    os._exit(exit_code)  # everything is closed; threads that still load a model would abort a regular exit
