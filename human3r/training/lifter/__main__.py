"""``python -m human3r.training.lifter CONFIG.toml``: train the lifter, or resume its training."""

from __future__ import annotations

import logging
import sys

from human3r.training.lifter.config import LifterTraining
from human3r.training.lifter.train import train
from human3r.training.settings import read_settings

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(read_settings(LifterTraining, sys.argv[1]))
