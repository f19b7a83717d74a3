"""What can go wrong with workers, jobs and their database."""

from assay.selectors.errors import AssayError, BadRequest


class WorkerDied(AssayError):
    """A worker process was killed, often for want of memory."""

    exit_code = 75

    def __init__(self) -> None:
        super().__init__(
            "a worker process was killed, often for want of memory: run the same command again to "
            "go on from where it stopped, with fewer --workers if it happens again"
        )


# Mend the set-up ---------------------------------------------------------------------


class BadDatabase(AssayError):
    """The database cannot be used as it is named."""

    exit_code = 5


class NotMigrated(BadDatabase):
    """The database's tables are not those of this version: run `assay migrate`."""


class BadStorage(AssayError):
    """The object store does not keep a promise that finishing a selection rests on."""

    exit_code = 5


# Change the request ------------------------------------------------------------------


class NoSuchJob(BadRequest):
    """There is no such job, or it is somebody else's."""


class WrongState(BadRequest):
    """A job in this state cannot do what is asked."""


class KeyUsedOtherwise(BadRequest):
    """This Idempotency-Key came before, with another request."""


class InFlight(BadRequest):
    """The first request with this Idempotency-Key is still being answered: try again."""

    exit_code = 75


class Outside(BadRequest):
    """The address does not lie under a storage root of this server."""


class NoSuchKey(BadRequest):
    """There is no key of this id."""
