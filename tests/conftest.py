"""Settings of the whole test run."""

import os

from hypothesis import settings

# The networks of the tests are so small that threads cost more than they give. Read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Time limits of single examples say more about the machine than about the code. `make fuzz` takes the long way.
settings.register_profile("default", deadline=None)
settings.register_profile("fuzz", deadline=None, max_examples=20_000)
settings.load_profile("default")
