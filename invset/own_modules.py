"""What a command finds around it: the user's own modules in the working folder.

Nothing is imported here that a file in that folder could be called as: `invset.__main__` begins
here.
"""

from __future__ import annotations

import os
import sys


def own_modules_last(folder: str) -> None:
    """Let ``network.module._target_=my_network.build`` find my_network.py in a folder, but nobody
    take a queue.py there for Python's: the folder goes last on the path, here and, without its
    name, in processes that a launcher starts.
    """
    others = [path for path in sys.path if path not in ("", folder)]
    sys.path[:] = [*others, folder]
    os.environ["PYTHONSAFEPATH"] = "1"
