"""Chance: what is drawn differs, between the processes of a program too."""

import subprocess
import sys

SCRIPT = """
import os
from verger.watch.chance import CHANCE

CHANCE.seed(1)
child = os.fork()
os.write(1, f"{CHANCE.random()} ".encode())  # in one piece
if child:
    os.waitpid(child, 0)
"""


def test_child_process_does_not_draw_what_its_parent_draws() -> None:
    """Servers that fork would give out the same names otherwise."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, check=True, text=True
    )
    mine, other = done.stdout.split()
    assert mine != other
