"""The tree of errors, sorted by what the reader must do about them.

Every message says what was found, where, and what would be right. `exit_code` is what a
command ends with; the table stands in docs/cli.md.
"""


class AssayError(Exception):
    """Something went wrong that a person can mend."""

    exit_code = 1


# Change the request ------------------------------------------------------------------


class BadRequest(AssayError):
    """The request cannot be carried out as it stands: change it."""

    exit_code = 2


class UnknownName(BadRequest):
    """No method, setting, unit or column has this name."""


class BadSetting(BadRequest):
    """A setting has a value that it cannot take."""


class BadBudget(BadRequest):
    """A budget is a positive amount with a unit, such as 20000docs, 10GB, 1.5e9tokens or 10%."""


class OtherSelection(BadRequest):
    """The output folder holds a different selection."""


class Busy(BadRequest):
    """Another process is writing this selection now."""

    exit_code = 75


class EndpointRefused(BadRequest):
    """The endpoint refuses what it is asked: look at its address, the model's name and the key."""


class CapReached(BadRequest):
    """The cost cap is reached: allow more, and run it again to go on."""


# Mend the data -----------------------------------------------------------------------


class BadInput(AssayError):
    """The data cannot be read as asked: mend or leave out the part that is named."""

    exit_code = 3


class BadShard(BadInput):
    """A shard cannot be read."""


class MissingColumn(BadInput):
    """A shard has no column of this name, or it does not hold text."""


class NothingToRead(BadInput):
    """No document was found where documents were promised."""


class ChangedInput(BadInput):
    """A shard is not what it was when the selection began."""


class TooManyBadRows(AssayError):
    """More rows could not be read than `--max-bad-rows` allows."""

    exit_code = 4


# Look at the storage -----------------------------------------------------------------


class StorageError(AssayError):
    """Storage did not do what was asked: permissions, space, credentials or network."""

    exit_code = 5


class NotFound(StorageError):
    """Nothing is stored under this address."""

    exit_code = 3


class AlreadyThere(StorageError):
    """Something is already stored under this address."""


class EndpointFailed(AssayError):
    """The endpoint does not do its work now: try again later."""

    exit_code = 75


# Ask why -----------------------------------------------------------------------------


class Mismatch(AssayError):
    """What is stored is not what its manifest says."""

    exit_code = 6


class BrokenMethod(AssayError):
    """A selector broke its own contract: it is the method, not the data, that needs mending."""


class Stopped(AssayError):
    """Stopped on request; what was finished is saved."""

    exit_code = 130
