"""A wall clock that can be set, for one service and nobody else: jumping_clock.c, built and preloaded."""

import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("jumping_clock.c")
NO_COMPILER = "a service's clock is set by a preloaded library, and there is no C compiler (apt-get install gcc)"


def has_compiler() -> bool:
    """Whether the library can be built here."""
    return shutil.which("cc") is not None


class Clock:
    """The clock of whoever is started with `environment`, for the library reads a file that it maps."""

    def __init__(self, folder: Path) -> None:
        """Build the library in `folder`."""
        self._offset, library = folder / "clock-offset", folder / "jumping_clock.so"
        self._offset.write_bytes(bytes(8))
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE)], check=True)
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(self._offset)}

    def set(self, seconds_ahead: int) -> None:
        """From now on it is so far ahead of the real one."""
        with self._offset.open("r+b") as file:
            file.write(struct.pack("q", seconds_ahead))
