"""The command line: ``python -m human3r COMMAND``. Options in, exit code out; the work is in ``human3r.commands``.

Exit codes: 0 done, 1 failed, 2 bad input or usage, 130 interrupted. Errors are one sentence on standard error.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

from human3r.commands.interrupts import INTERRUPTED
from human3r.commands.parser import build_parser
from human3r.errors import Cancelled, Human3RError, InputError, MediaTooLargeError
from human3r.temporary import reclaim

FAILED, BAD_INPUT = 1, 2
_FILE_ERRORS = (PermissionError, IsADirectoryError, NotADirectoryError, FileNotFoundError, FileExistsError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = build_parser()
    options, options.rest = parser.parse_known_args(arguments)
    if options.rest and options.command != "synth":
        parser.error(f"unrecognized arguments: {' '.join(options.rest)}")
    if getattr(options, "device", None) == "mps":
        # Before torch is loaded: operators that Metal lacks run on the CPU, with a warning.
        os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    logging.basicConfig(level=logging.DEBUG if os.environ.get("HUMAN3R_DEBUG") else logging.WARNING)
    reclaim()
    with _ends_cleanly():
        return _run(options)


@contextmanager
def _ends_cleanly() -> Iterator[None]:
    """Let SIGTERM and a closed terminal clean up like Ctrl-C."""
    handled = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        handled = []
    handled = [number for number in handled if signal.getsignal(number) == signal.SIG_DFL]
    for number in handled:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)


def _run(options: argparse.Namespace) -> int:
    try:
        # A command is a function in human3r.commands, imported only now so that --help is fast.
        module, function = options.run.rsplit(".", 1)
        command: Callable[[argparse.Namespace], int] = getattr(_imported(f"human3r.commands.{module}"), function)
        code = command(options)
        sys.stdout.flush()
        return code
    except MediaTooLargeError as error:
        has_option = "limit" in options
        return _fail(f"{error}{' Or raise the limit with --limit NAME=NUMBER.' * has_option}", BAD_INPUT)
    except InputError as error:
        return _fail(str(error), BAD_INPUT)
    except (Cancelled, KeyboardInterrupt):
        return _fail("interrupted.", INTERRUPTED)
    except Human3RError as error:
        return _fail(str(error), FAILED)
    except BrokenPipeError:
        # The reader of the output has closed it; Python would report that again when flushing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except MemoryError:
        return _fail("the machine ran out of memory. Use a smaller model or fewer frames.", FAILED)
    except Exception as error:
        if os.environ.get("HUMAN3R_DEBUG"):
            traceback.print_exc()
        if isinstance(error, _FILE_ERRORS) and error.filename is not None:
            text = f"{str(error.filename)!r} cannot be used ({error.strerror}). Check the path and its permissions."
            return _fail(text, FAILED)
        return _fail(f"internal error: {type(error).__name__}: {error} (HUMAN3R_DEBUG=1 shows where).", FAILED)


def _imported(name: str) -> ModuleType:
    """Import a module without collecting garbage meanwhile, of which there is none: a tenth of the time."""
    is_collected = gc.isenabled()
    gc.disable()
    try:
        return import_module(name)
    finally:
        if is_collected:
            gc.enable()


def _fail(text: str, code: int) -> int:
    print(f"human3r: {text}", file=sys.stderr)
    return code
