#!/usr/bin/env python
"""Django's command line. A wrong setting stops it with one clear line and exit 3, before anything is touched."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line


def main() -> None:
    """Run one management command. No file that it makes is for other users of the machine."""
    os.umask(0o027)
    # Processes bear the names that we give them (processes.call_me); libraries would give them others with this.
    sys.modules.setdefault("setproctitle", None)  # type: ignore[arg-type]
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "prosaasil.settings")
    try:
        import prosaasil.settings  # noqa: F401  (so that its errors come before any command's)
    except ImproperlyConfigured as error:
        sys.stderr.write(f"prosaasil can't start: {error}\n")
        sys.exit(3)
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
