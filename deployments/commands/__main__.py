"""The command line where no program of its name is installed: `python -m deployments.commands`."""

from __future__ import annotations

import sys

from deployments.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())
