"""How a run tells what it is doing. The faces decide what a person sees."""

from typing import Protocol


class Progress(Protocol):
    """Told of each stage, of what is done of it, and whether to go on."""

    def note(self, line: str, /) -> None:
        """Something that a person wants to know before it begins."""
        ...

    def begin(self, stage: str, total: int, /) -> None:
        """A stage of `total` bytes begins."""
        ...

    def advance(self, size: int, /) -> None:
        """`size` bytes more are done."""
        ...

    def end(self) -> None:
        """The stage is done."""
        ...


class Silence:
    """Says nothing."""

    def note(self, line: str, /) -> None: ...

    def begin(self, stage: str, total: int, /) -> None: ...

    def advance(self, size: int, /) -> None: ...

    def end(self) -> None: ...
