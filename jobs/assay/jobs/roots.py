"""What a request may name: addresses under the storage roots of this server, and nothing else."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from assay.jobs.errors import Outside
from assay.selectors import storage
from assay.selectors.errors import AssayError
from assay.selectors.spec import Spec
from assay.selectors.stores.places import Place, place_of

GLOB = re.compile(r"[*?\[]")
LONGEST = 2000  # characters


@dataclass(frozen=True)
class Roots:
    """The storage roots, and folders below them that are never read or written."""

    roots: tuple[str, ...]
    private: tuple[str, ...] = ()  # real paths: the server's database and secret

    def check(self, uris: Iterable[str]) -> None:
        """Outside, unless every address lies under a root: as it is written, and as it leads."""
        for uri in uris:
            self._check(uri)

    def check_output(self, uri: str) -> None:
        """The same for a folder to write to, which may also not hold what is private."""
        self._check(uri)
        place = place_of(uri)
        if GLOB.search(uri):
            raise Outside(f"{uri[:200]}: an output folder is one folder: leave out * ? and [")
        if place.local:
            real = os.path.realpath(place.key)
            if any(_below(path, real) for path in self.private):
                raise Outside(f"{uri[:200]}: holds files of this server: name another folder")
        if any(place_of(root) == place for root in self.roots):
            raise Outside(f"{uri[:200]}: is a storage root itself: name a folder in it")

    def check_found(self, uris: Sequence[str]) -> None:
        """Every object that globs and folders stand for, links followed."""
        self.check(uris)
        for stored in storage.listing(uris):
            self._check_inside(stored.uri, place_of(stored.uri))

    def check_all_found(self, wanted: Spec) -> None:
        """The same for all that a selection reads."""
        for uris in (wanted.raw, *wanted.target.values(), tuple(wanted.scores.values())):
            self.check_found(uris)

    def _check(self, uri: str) -> None:
        _check_plain(uri)
        try:
            place = place_of(uri)
        except AssayError as cause:
            raise Outside(f"{uri[:200]}: {cause}") from cause
        self._check_inside(uri, place)

    def _check_inside(self, uri: str, place: Place) -> None:
        inside = self._holds_local(place) if place.local else self._holds_remote(place)
        if not inside:
            raise Outside(
                f"{uri[:200]}: does not lie under a storage root of this server "
                f"({', '.join(self.roots) or 'it has none: ASSAY_STORAGE_ROOTS names them'})"
            )

    def _holds_local(self, place: Place) -> bool:
        # Both ways of reading a name with a star: as a glob up to it, and literally.
        found = GLOB.search(place.key)
        fixed = place.key[: found.start()].rpartition("/")[0] or "/" if found else place.key
        real = {os.path.realpath(fixed), os.path.realpath(place.key)}
        roots = [os.path.realpath(root) for root in self._local_roots()]
        if any(_below(path, hidden) for path in real for hidden in self.private):
            return False
        return all(any(_below(path, root) for root in roots) for path in real)

    def _local_roots(self) -> list[str]:
        return [place.key for root in self.roots if (place := place_of(root)).local]

    def _holds_remote(self, place: Place) -> bool:
        return any(
            (root.scheme, root.bucket) == (place.scheme, place.bucket)
            and (not root.key or (place.key + "/").startswith(root.key + "/"))
            for root in map(place_of, self.roots)
        )


def _check_plain(uri: str) -> None:
    """No name that could mean two things."""
    if len(uri) > LONGEST or any(ord(letter) < 32 or ord(letter) == 127 for letter in uri):
        raise Outside(f"{uri[:60]!r}: an address has at most {LONGEST} characters, none of control")
    parts = re.split(r"[/\\]", uri.partition("://")[2] or uri)
    if any(part in (".", "..") for part in parts) or re.search("%(2e|2f|00)", uri, re.IGNORECASE):
        raise Outside(f"{uri[:200]}: write the address out, without . and ..")
    if "://" not in uri and not uri.startswith("/"):
        raise Outside(
            f"{uri[:200]}: write the whole path, from / on: a server has no folder of yours"
        )
    if not uri.isascii():
        _check_text(uri)


def _check_text(uri: str) -> None:
    try:
        uri.encode()
    except UnicodeEncodeError as cause:
        raise Outside("an address holds half of a character") from cause


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
