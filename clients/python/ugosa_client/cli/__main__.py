"""`python -m ugosa_client.cli`, for hosts that cannot find the `ugosa` script."""

import sys

from ugosa_client.cli import main

sys.exit(main())
