"""Decides that `python -m p402` is the command `p402`. Does nothing else."""

from p402.cli import main

raise SystemExit(main())
