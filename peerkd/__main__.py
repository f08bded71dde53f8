"""``python -m peerkd`` is the command ``peerkd``."""

from peerkd.cli.main import main

main()
