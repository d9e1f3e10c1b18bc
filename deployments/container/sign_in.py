"""Whether a proxy may show the dashboard to the network: exit code 0 if people have to sign in, else 1.

Also 0 if SIGN_IN=none says that something else decides who comes. The proxy of docker-compose.yml waits for this.
"""

from __future__ import annotations

import os
import sys

from dashboard.signin import exposure


def main() -> int:
    """Say how it is, and what to do if it is not well."""
    from streamlit import config

    if files := os.environ.get("STREAMLIT_SECRETS_FILES"):  # it is the command `streamlit` that reads this
        config.set_option("secrets.files", files.split())
    answer, fine = exposure()
    sys.stdout.write(answer + "\n")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
