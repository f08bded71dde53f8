"""``python -m peerkd stage tune_pairs``, but with a simple tuner and a short time until a worker counts as lost."""

import tests.pipelines.impatient_worker  # noqa: F401
from peerkd.cli.main import main
from tests import tuners

tuners.install()

if __name__ == "__main__":
    main()
