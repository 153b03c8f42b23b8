"""Settings of the whole test run."""

import os

# The networks of the tests are so small that threads cost more than they give. Read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
