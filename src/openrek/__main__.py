"""`python -m openrek` is the command line."""

from openrek.cli.main import main

main()
