"""The ``Engine`` of the real demo, over ``human3r``."""

from __future__ import annotations
