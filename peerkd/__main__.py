"""The entry point of ``python -m peerkd``, which is the same as the command ``peerkd``."""

from peerkd.cli.main import main

main()
