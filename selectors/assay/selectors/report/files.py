"""The report's three files: the numbers first, a page and a picture that only show them."""

import json
from collections.abc import Mapping
from typing import Any

from assay.selectors import storage
from assay.selectors.report import alarms
from assay.selectors.report.findings import find
from assay.selectors.report.outcome import Outcome
from assay.selectors.report.page import page, picture
from assay.selectors.selector import Fold

JSON, PAGE, PICTURE = "report.json", "report.html", "chosen.svg"


def write_report(outcome: Outcome, fold: Fold) -> list[str]:
    """Write report.json, report.html and chosen.svg; returns the alarms as warnings."""
    found = find(outcome, fold)
    checks = alarms.checks(found)
    found["checks"] = [check.entry() for check in checks]
    files = {JSON: as_json(found), PAGE: page(found, checks), PICTURE: picture(found)}
    for name, text in files.items():
        storage.write_bytes(storage.join(outcome.spec.out, name), text.encode())
    return [check.sentence for check in checks if check.fired]


def as_json(found: Mapping[str, Any]) -> str:
    return json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
