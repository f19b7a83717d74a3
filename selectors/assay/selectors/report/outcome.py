"""A selection that was made and is not yet signed: what the report looks at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay.selectors.selector import Rule, Scorer
from assay.selectors.spec import Spec
from assay.selectors.writing import Written


@dataclass(frozen=True)
class Outcome:
    """What was asked, what was learned, what is kept, and what the manifest will say."""

    spec: Spec
    scorer: Scorer
    rule: Rule
    content: Mapping[str, Any]
    parts: tuple[Written, ...]

    @property
    def examples(self) -> list[dict[str, Any]]:
        """Documents near the cut: {kept, id, score, source, tokens, text}."""
        return [example for part in self.parts for example in part.examples]
