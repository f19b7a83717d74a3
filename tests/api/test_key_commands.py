"""`assay migrate` and `assay keys`, as an operator types them."""

import json
import stat

import pytest

from assay.api import cli, settings
from assay.jobs import database, keys
from assay.selectors.errors import BadSetting


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))

    def call(*words):
        code = cli.run([*words])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


def test_the_first_key_takes_two_commands(run, tmp_path):
    code, _, said = run("keys", "create", "--name", "me", "--scope", "admin")
    assert code == 5 and "run `assay migrate`" in said
    assert run("migrate", "--check")[0] == 5
    code, said, _ = run("migrate")
    assert code == 0 and "revision 0001" in said
    assert "as before" in run("migrate")[1] and run("migrate", "--check")[0] == 0
    code, text, said = run("keys", "create", "--name", "me", "--scope", "admin")
    assert code == 0 and "not shown again" in said
    service = settings.service({"ASSAY_HOME": str(tmp_path / "home")})
    engine = database.connect(service.database_url)
    assert keys.verify(engine, service.secret, text.strip()).may("admin")


def test_the_servers_secret_is_for_its_owner_alone_and_stays(run, tmp_path):
    run("migrate")
    path = tmp_path / "home" / "secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first = path.read_text()
    run("keys", "list")
    assert path.read_text() == first and len(first) == 64


def test_keys_are_listed_without_their_secrets_and_revoked(run):
    run("migrate")
    assert "no keys" in run("keys", "list")[1]
    made = json.loads(
        run("keys", "create", "--name", "ci", "--owner", "team", "--expires", "30d", "--json")[1]
    )
    assert made["expires_at"] - made["created_at"] == 30 * 86_400
    _, listed, _ = run("keys", "list")
    assert made["id"] in listed and made["key"] not in listed and "active" in listed
    assert "revoked" in run("keys", "revoke", made["id"])[1]
    assert json.loads(run("keys", "list", "--json")[1])[0]["state"] == "revoked"
    assert run("keys", "revoke", "key_none")[0] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--name", "x", "--expires", "soon"), "12h, 30d or 8w"),
        (("--name", "x", "--expires", "0d"), "12h, 30d or 8w"),
        (("--name", "x", "--scope", "rule"), "known are read, submit, admin"),
        (("--name", ""), "1 to 100 characters"),
    ],
)
def test_a_key_that_cannot_be_made_is_a_usage_error(run, words, said):
    run("migrate")
    code, _, told = run("keys", "create", *words)
    assert code == 2 and said in told


def test_a_shared_database_needs_a_shared_secret(tmp_path):
    given = {"ASSAY_DATABASE_URL": "postgresql://host/name", "ASSAY_HOME": str(tmp_path)}
    with pytest.raises(BadSetting, match="openssl rand -hex 32"):
        settings.service(given)
    with pytest.raises(BadSetting, match="32 is the least"):
        settings.service(given | {"ASSAY_SECRET": "short"})
    assert settings.service(given | {"ASSAY_SECRET": "s" * 32}).secret == "s" * 32
    assert not (tmp_path / "secret").exists()
