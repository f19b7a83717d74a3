"""A finished selection, opened again: what was asked, its scores, its cut."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay.selectors import budget, earlier, manifest, spec
from assay.selectors.budget import Budget
from assay.selectors.errors import Mismatch
from assay.selectors.folding import BUNDLE, Folding
from assay.selectors.manifest import Manifest
from assay.selectors.scores import ScoreFile, Scores
from assay.selectors.selection import Ground, Means, folding, select, survey
from assay.selectors.selector import Rule, Selector
from assay.selectors.spec import Spec


@dataclass(frozen=True)
class Past:
    """A finished selection as it stands in storage. No document is read to open it."""

    manifest: Manifest
    selector: Selector
    files: tuple[ScoreFile, ...]

    def fold(self, means: Means) -> Folding:
        """The stream "scores" alone: enough to choose again."""
        targets = tuple(self.manifest.request["inputs"]["target"])
        seed = int(self.manifest.request["seed"])
        streams = {"scores": Scores(self.files)}
        return Folding(streams, seed, targets, means.map, means.progress, "", BUNDLE)

    def rule(self, means: Means, asked: Budget | None = None) -> Rule:
        """The cut of this selection, or the one that another budget would have made."""
        own = budget.parse(str(self.manifest.request["budget"]))
        return self.selector.choose(asked or own, self.fold(means))


def reopen(uri: str) -> Past:
    """The selection whose manifest or folder this is."""
    found = manifest.read(uri)
    request = found.request
    selector = spec.selector_of(request["method"], request["settings"], request.get("stages", ()))
    return Past(found, selector, earlier.files(found))


def spec_of(past: Manifest, out: str, raw: tuple[str, ...] = ()) -> Spec:
    """What was asked, to be asked again; `raw` where the corpus has moved."""
    request, run = past.request, past.run
    plain = ("method", "budget", "seed", "text_column", "id_column", "group_by", "settings")
    asked: dict[str, Any] = {name: request[name] for name in plain}
    asked["stages"] = tuple(request.get("stages", ()))
    targets = {name: tuple(uris) for name, uris in run["target"].items()}
    asked["scores"] = dict(run.get("scores", {}))
    return Spec(raw=raw or tuple(run["raw"]), target=targets, out=out, **asked)


def ground_of(past: Manifest, means: Means, raw: tuple[str, ...] = ()) -> Ground:
    """The documents behind a finished selection, if they are still what they were."""
    ground = survey(spec_of(past, past.folder, raw), means)
    if problems := differences(past.request["inputs"], ground.request["inputs"]):
        raise Mismatch("\n".join(problems))
    return ground


def fold_of(past: Past, ground: Ground, means: Means) -> Folding:
    """The fold of a finished selection, with its records: what was learned is not learned twice."""
    return folding(ground, means, past.files)


def replay(past: Manifest, out: str, means: Means, raw: tuple[str, ...] = ()) -> Manifest:
    """Make the selection once more somewhere else; Mismatch where it comes out differently."""
    ground = survey(spec_of(past, out, raw), means)
    if problems := differences(past.request["inputs"], ground.request["inputs"]):
        raise Mismatch("\n".join(["the inputs are not what they were:", *problems]))
    again = select(spec_of(past, out, raw), means)
    if again.digest != past.digest:
        raise Mismatch("\n".join(["the replay came out differently:", *_told(past, again)]))
    return again


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """How the inputs differ: shards that are gone, new or changed."""
    found = []
    streams = [("raw", before["raw"], now["raw"])]
    names = sorted({*before["target"], *now["target"]})
    streams += [(n, before["target"].get(n, []), now["target"].get(n, [])) for n in names]
    streams.append(("scores", _runs(before.get("scores", {})), _runs(now.get("scores", {}))))
    for stream, old, new in streams:
        there, here = ({shard["name"]: shard["hash"] for shard in side} for side in (old, new))
        for name in sorted({*there, *here}):
            if name not in here:
                found.append(f"{stream}: {name} is gone")
            elif name not in there:
                found.append(f"{stream}: {name} is new")
            elif there[name] != here[name]:
                found.append(f"{stream}: {name} has changed: {there[name]} then, {here[name]} now")
    return found


def _runs(digests: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "hash": digest} for name, digest in digests.items()]


def _told(past: Manifest, again: Manifest) -> list[str]:
    told = []
    for key, value in past.content.items():
        other = again.content.get(key)
        if key not in manifest.UNSIGNED and other != value:
            told.append(f"{key}: {_short(value)} then, {_short(other)} now")
    return told


def _short(value: Any) -> str:
    text = manifest.canonical(value).decode()
    return text if len(text) <= 300 else text[:300] + " ..."
