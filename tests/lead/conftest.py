"""The program as in tests/e2e, for the lead."""

from tests.e2e.conftest import cpt as cpt
