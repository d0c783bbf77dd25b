"""Run the command-line program: ``python -m pgagent_runner``."""

import sys

from pgagent_runner.cli import main

sys.exit(main())
