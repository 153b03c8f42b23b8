"""Settings of the whole test run."""

import os
import tempfile

from hypothesis import settings

# The networks of the tests are so small that threads cost more than they give. Read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A time limit on single examples tells of the machine, not of the code. `make fuzz` goes the long way.
settings.register_profile("default", deadline=None)
settings.register_profile("fuzz", deadline=None, max_examples=int(os.environ.get("FUZZ_EXAMPLES", "20000")))
settings.load_profile("default")

# The models that a developer has pulled must not show in the tests.
os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp(prefix="ugosa-tests-")
