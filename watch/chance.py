"""Chance of our own: for jitter, and for names that only have to differ. Never for secrets.

The generator that all of a program shares is left alone: a test may have seeded it, and counts on what comes next.
"""

import os
import random
from typing import Final

CHANCE: Final = random.Random()  # noqa: S311 - see above
# A child that goes on with its parent's state would give out its parent's names.
os.register_at_fork(after_in_child=CHANCE.seed)
