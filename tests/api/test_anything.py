"""Requests of every kind that the OpenAPI document allows, and of many that it does not.

No answer may be a server's error, or one that the document does not know. That
a number lies where no law can answer is not in the document, so such requests may be refused.
"""

import tempfile

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from assay.api.app import create_app
from assay.jobs import database, keys

SECRET = "0123456789abcdef" * 4
FEW, MANY = 25, 500  # requests of each operation


ENGINE = database.connect(f"sqlite:///{tempfile.mkdtemp(prefix='assay-api-')}/assay.db")
database.migrate(ENGINE)
DOCUMENT = schemathesis.openapi.from_asgi("/openapi.json", create_app(ENGINE, SECRET))
_, KEY = keys.create(ENGINE, SECRET, name="fuzz", owner="fuzz", scopes=["admin"])
ADMIN = {"Authorization": f"Bearer {KEY}"}


@DOCUMENT.parametrize()
@settings(max_examples=FEW, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_request_gets_an_answer_that_is_documented(case):
    case.call_and_validate(headers=ADMIN, excluded_checks=[positive_data_acceptance])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@DOCUMENT.parametrize()
@settings(max_examples=MANY, deadline=None, suppress_health_check=list(HealthCheck))
def test_thousands_of_requests_get_answers_that_are_documented(case):
    case.call_and_validate(headers=ADMIN, excluded_checks=[positive_data_acceptance])
