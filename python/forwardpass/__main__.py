"""`python -m forwardpass`: the same as the command `forwardpass`."""

import sys

from forwardpass.cli import main

sys.exit(main())
