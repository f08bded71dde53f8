"""``python -m peerkd stage tune_pairs``, but with an artless tuner, and impatient with workers that are lost."""

import tests.pipelines.impatient_worker  # noqa: F401
from peerkd.cli.main import main
from tests import tuners

tuners.install()

if __name__ == "__main__":
    main()
