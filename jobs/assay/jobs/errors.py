"""What can go wrong with workers, the database and keys."""

from assay.selectors.errors import AssayError, BadRequest


class DatabaseNotReady(AssayError):
    """The database cannot be reached, or has not the shape that this program knows."""

    exit_code = 5


class UnknownKey(BadRequest):
    """There is no such key."""


class WorkerDied(AssayError):
    """A worker process was killed, often for want of memory."""

    exit_code = 75

    def __init__(self) -> None:
        super().__init__(
            "a worker process was killed, often for want of memory: run the same command again to "
            "go on from where it stopped, with fewer --workers if it happens again"
        )
