"""What a drain may claim, as far as the storage goes: an attempt that could keep nothing would only spend a try."""

import enum

from recordings.away import tell_storage
from recordings.download.errors import OutOfDescriptors, StorageError, StorageFull
from recordings.storage import StorageAway, default_storage


class Claimable(enum.Enum):
    """Of what waits."""

    ALL = "all"
    CLICKS = "clicks"
    """The storage is there, and full or read-only: a person's recording fails with the reason, the others wait."""
    NONE = "none"


def claimable() -> Claimable:
    """Look at the storage, and tell operators what is wrong with it. Two system calls."""
    try:
        default_storage().demand_room()
    except (StorageError, StorageFull) as error:
        tell_storage(error)
        return Claimable.NONE if isinstance(error, StorageAway | OutOfDescriptors) else Claimable.CLICKS
    return Claimable.ALL
