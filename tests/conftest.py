"""For all tests: the programs that they start keep their bytecode, or each of them would compile everything anew."""

import os

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
