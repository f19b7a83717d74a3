"""What came out, from what, by what. Written last: where it stands, the selection is complete.

The digest covers everything but the block "run" (when, where, with how many workers): the same
selection of the same data has the same digest on any machine.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay.selectors import storage
from assay.selectors.errors import BadInput, Mismatch, NotFound

NAME = "manifest.json"
FORMAT = "assay.manifest/1"
UNSIGNED = ("digest", "run")


@dataclass(frozen=True)
class Manifest:
    """A finished selection: its folder and what the manifest says."""

    folder: str
    content: Mapping[str, Any]

    @property
    def digest(self) -> str:
        return str(self.content["digest"])

    @property
    def request(self) -> Mapping[str, Any]:
        """What was asked of what: method, settings, seed, columns, inputs with their hashes."""
        found: Mapping[str, Any] = self.content["request"]
        return found

    @property
    def run(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.content["run"]
        return found

    def uri(self, *names: str) -> str:
        return storage.join(self.folder, *names)


def signed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content with its digest."""
    return {"format": FORMAT, "digest": digest(content)} | dict(content)


def digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of everything that is signed."""
    part = {key: value for key, value in content.items() if key not in UNSIGNED}
    return "sha256:" + hashlib.sha256(canonical({"format": FORMAT} | part)).hexdigest()


def canonical(value: Any) -> bytes:
    """One spelling for one value: sorted keys, no spaces, floats as Python writes them."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def finish(folder: str, content: Mapping[str, Any]) -> Manifest:
    """Write the manifest, once."""
    made = signed(content)
    text = json.dumps(made, indent=1, ensure_ascii=False)
    storage.create_bytes(storage.join(folder, NAME), text.encode())
    return Manifest(folder, made)


def find(folder: str) -> Manifest | None:
    """The manifest in a folder, if the selection there is complete."""
    uri = storage.join(folder, NAME)
    return read(uri) if storage.exists(uri) else None


def read(uri: str) -> Manifest:
    """A manifest by its own address or by its folder's."""
    address = uri if uri.endswith(".json") else storage.join(uri, NAME)
    try:
        content = json.loads(storage.read_bytes(address))
    except NotFound as cause:
        raise NotFound(
            f"{address}: there is no manifest, so there is no finished selection here: give the "
            f"folder that `assay select` wrote to, or run it again to finish it"
        ) from cause
    except ValueError as cause:
        raise BadInput(f"{address}: not a manifest: {cause}") from cause
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise BadInput(f"{address}: not a manifest of this version ({FORMAT})")
    folder = address[: -len(NAME)].rstrip("/") if address.endswith(NAME) else address
    return Manifest(folder or ".", content)


def verify(manifest: Manifest) -> list[str]:
    """Every way in which what is stored differs from what the manifest says; empty if none."""
    found = []
    if digest(manifest.content) != manifest.digest:
        found.append(f"{manifest.uri(NAME)}: edited: its digest is not that of its content")
    for part in manifest.content["parts"]:
        found += _check_part(manifest, part)
    return found


def verified(manifest: Manifest) -> Manifest:
    """The manifest, or Mismatch naming every difference."""
    if problems := verify(manifest):
        raise Mismatch("\n".join(problems))
    return manifest


def _check_part(manifest: Manifest, part: Mapping[str, Any]) -> list[str]:
    uri = manifest.uri(part["name"])
    if not storage.exists(uri):
        return [f"{uri}: missing; {part['rows']} rows are promised"]
    found = storage.sha256(uri)
    if found != part["sha256"]:
        return [f"{uri}: changed: SHA-256 is {found}, the manifest says {part['sha256']}"]
    return []
