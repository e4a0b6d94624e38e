"""`python -m pawl.cli`."""

from pawl.cli import main

main()
