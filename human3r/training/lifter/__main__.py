"""``python -m human3r.training.lifter CONFIG.toml``: train the lifter, or go on."""

from __future__ import annotations

import logging
import sys

from human3r.training.lifter.config import load_config
from human3r.training.lifter.train import train

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(load_config(sys.argv[1]))
