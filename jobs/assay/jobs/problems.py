"""What went wrong, as plain values: the same words in a job's row, an event and an answer."""

import errno
import re
from typing import Any

from sqlalchemy import exc

from assay.jobs.errors import WorkerDied
from assay.selectors.errors import AlreadyThere, AssayError, Busy, NotFound, StorageError

FOR_GOOD = {
    errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EROFS, errno.EACCES,
    errno.EPERM, errno.ENOENT, errno.ELOOP, errno.EINVAL,
}  # fmt: skip
AGAIN = 75  # the exit code of what may be tried again


def code_of(problem: BaseException) -> str:
    """`TooManyBadRows` as too_many_bad_rows: stable, since classes are never renamed."""
    name = type(problem).__name__
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def passing(problem: BaseException) -> bool:
    """May be gone when it is tried again soon."""
    if _for_good(problem) or _for_good(problem.__cause__):
        return False
    if isinstance(problem, StorageError):
        return not isinstance(problem, NotFound | AlreadyThere)
    return isinstance(problem, Busy | WorkerDied | OSError | MemoryError) or away(problem)


def _for_good(problem: BaseException | None) -> bool:
    """Of a file system: nobody has to wait for a folder to become a file."""
    return isinstance(problem, OSError) and problem.errno in FOR_GOOD


def away(problem: BaseException) -> bool:
    """The database does not answer."""
    return isinstance(problem, exc.OperationalError | exc.InterfaceError | exc.TimeoutError)


def document(problem: BaseException) -> dict[str, Any]:
    if isinstance(problem, AssayError):
        said = str(problem) or (type(problem).__doc__ or "").strip()
        again = passing(problem) or problem.exit_code == AGAIN
        return {"code": code_of(problem), "message": said, "retryable": again}
    if isinstance(problem, MemoryError):
        said = "out of memory: fewer jobs at once (ASSAY_JOBS), or a larger machine"
        return {"code": "out_of_memory", "message": said, "retryable": True}
    if away(problem):
        said = "the service's database did not answer: resume the job when it does"
        return {"code": "database_away", "message": said, "retryable": True}
    said = f"this is a bug in assay: {type(problem).__name__}: {problem}"[:2000]
    return {"code": "internal", "message": said, "retryable": False}
