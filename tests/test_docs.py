"""What the documents show works as they show it."""

import glob
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from assay.api import cli

ROOT = Path(__file__).parents[1]


def install(folder, name, module, attribute, source):
    """A package as pip would leave it: a module and its entry point."""
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{name.replace('-', '_')}-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    entry = f"[assay.selectors]\n{name} = {module}:{attribute}\n"
    (info / "entry_points.txt").write_text(entry)


def assay(folder, *words):
    program = [sys.executable, "-m", "assay.api", *map(str, words)]
    return subprocess.run(
        program, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False
    )


def test_the_method_that_is_shown_works_without_a_change_of_ours(corpus, target, tmp_path):
    page = (ROOT / "docs" / "new-method.md").read_text()
    source = re.search(r"```python\n(.*?)```", page, re.DOTALL).group(1)
    install(tmp_path, "same-length", "same_length", "SameLength", source)
    assert "bytes that cost one point" in assay(tmp_path, "methods", "same-length").stdout
    words = ["--raw", corpus, "--target", target, "--budget", "50docs", "--out", tmp_path / "o"]
    done = assay(tmp_path, "select", "same-length", *words, "--json")
    assert json.loads(done.stdout)["spent"]["documents"] == 50
    refused = assay(tmp_path, "select", "same-length", *words, "--set", "scale=-1")
    assert refused.returncode == 2 and "scale" in refused.stderr


def test_the_contract_suite_holds_the_method_that_is_shown_too(tmp_path):
    page = (ROOT / "docs" / "new-method.md").read_text()
    source = re.search(r"```python\n(.*?)```", page, re.DOTALL).group(1)
    install(tmp_path, "same-length", "same_length", "SameLength", source)
    suite = str(ROOT / "tests" / "contract" / "test_selectors.py")
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        suite,
        "-k",
        "same-length",
        "-p",
        "no:cacheprovider",
    ]
    environment = dict(os.environ) | {"PYTHONPATH": str(tmp_path)}
    told = subprocess.run(
        words, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout[-2000:]
    assert int(re.search(r"(\d+) passed", told.stdout).group(1)) >= 19


def test_a_plug_in_that_cannot_be_loaded_is_named(tmp_path):
    install(tmp_path, "broken", "broken_method", "Nothing", "import nowhere_at_all\n")
    told = assay(tmp_path, "methods", "broken")
    assert told.returncode == 1 and "broken_method" in told.stderr
    assert "Traceback" not in told.stderr
    everything = assay(tmp_path, "methods")
    assert everything.returncode == 0 and "dsir" in everything.stdout


def commands(page):
    """What a page shows after `$ assay`, with the lines that it shows as answers."""
    blocks = "\n".join(re.findall(r"```\n(\$ assay .*?)```", page, re.DOTALL))
    for shown in re.split(r"^\$ assay ", blocks.replace("\\\n", ""), flags=re.MULTILINE)[1:]:
        typed, *answers = shown.splitlines()
        yield typed, [line for line in answers if line.strip()]


def in_shape(line):
    """Without figures: times differ, and last digits may between processors."""
    return re.sub(r"\s+", " ", re.sub(r"[-+]?\d[\d,.]*|-{2,}", "#", line)).strip()


def test_the_page_of_stages_shows_what_is_answered(tmp_path, monkeypatch, capsys):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    shown = list(commands((ROOT / "docs" / "stages.md").read_text()))
    assert len(shown) >= 9
    for typed, answers in shown:
        words = [sorted(glob.glob(w)) if "*" in w else [w] for w in shlex.split(typed)]
        code = cli.run([word for some in words for word in some])
        told = capsys.readouterr()
        assert code == 0, f"{typed}: {told.err}"
        found = [in_shape(line) for line in told.out.splitlines()]
        for line in answers:
            assert in_shape(line) in found, f"{typed}: {line}"


def test_every_link_between_the_documents_leads_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
