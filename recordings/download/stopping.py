"""The word that the cluster is being stopped, told to drains in other processes.

One byte of memory shared by fork: no lock that a killed process could keep. Only main hears SIGTERM; the workers that
it forked read this.
"""

import mmap

_told = mmap.mmap(-1, 1)  # anonymous and shared: inherited by every fork of the process that imports this


def tell() -> None:
    """Say it, to this process and to all that were forked from it after the import."""
    _told[0] = 1


def is_told() -> bool:
    """Whether the cluster is being stopped."""
    return bool(_told[0])


def forget() -> None:
    """Begin anew, for a cluster that starts in this process."""
    _told[0] = 0
