"""A reply as files: the JSON document, pictures, and one HTML page that holds them all."""

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import Any

from jinja2 import Environment

from assay.scaling.commands import Reply

WARNED = "warning: "  # such lines have a list of their own on the page


def written(reply: Reply, title: str, lead: str) -> dict[str, bytes]:
    """name -> bytes: report.html, report.json and the pictures. Whoever asks does the writing."""
    pictures = dict(reply.draw())
    return {
        "report.json": as_json(reply.document).encode(),
        **pictures,
        "report.html": page(reply, title, lead, pictures).encode(),
    }


def page(reply: Reply, title: str, lead: str, pictures: Mapping[str, bytes]) -> str:
    source = files("assay.scaling").joinpath("templates/report.html").read_text("utf-8")
    return (
        Environment(autoescape=True)
        .from_string(source)
        .render(
            title=title,
            lead=lead,
            figures=[
                (name, inline(svg)) for name, svg in pictures.items() if name.endswith(".svg")
            ],
            text="\n".join(line for line in reply.text.split("\n") if not line.startswith(WARNED)),
            warnings=reply.document.get("warnings", []),
            json=as_json(reply.document),
            version=installed_version(),
        )
    )


def inline(svg: bytes) -> str:
    """The picture without the XML prologue, as HTML wants it."""
    text = svg.decode()
    return text[text.index("<svg") :]


def as_json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, allow_nan=False)


def installed_version() -> str:
    try:
        return version("assay")
    except PackageNotFoundError:
        return "(not installed)"
