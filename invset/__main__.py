"""``python -m invset``: the same as ``invset``."""

import os

from invset.own_modules import own_modules_last

own_modules_last(os.getcwd())  # Python put it first, before anything else is imported

from invset.cli import main  # noqa: E402

if __name__ == "__main__":
    main()
