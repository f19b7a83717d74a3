"""What can go wrong with workers."""

from assay.selectors.errors import AssayError


class WorkerDied(AssayError):
    """A worker process was killed, often for want of memory."""

    exit_code = 75

    def __init__(self) -> None:
        super().__init__(
            "a worker process was killed, often for want of memory: run the same command again to "
            "go on from where it stopped, with fewer --workers if it happens again"
        )
