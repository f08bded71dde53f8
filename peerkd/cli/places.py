"""The place of a store, as the options of a command name it."""

from pathlib import Path


def store_address(output: Path | None, store: str | None) -> str:
    """Return the address of a store: an absolute path, or an address in S3.

    Args:
        output: The folder of the option ``--output``. If both options are None, the folder is ``runs``.
        store: The address of the option ``--store``.

    Raises:
        ValueError: If ``--output`` and ``--store`` are both given, the address is not valid, or the folder does not
            exist.
    """
    # Imported here so that --help does not load a store.
    from peerkd.artifacts.open import S3_SCHEME, check_address
    from peerkd.excerpt import plain_path, start_of

    if output is not None and store is not None:
        raise ValueError("output must not be given together with store, which names another place.")
    address = str(output or "runs") if store is None else store
    check_address(address)
    if address.startswith(S3_SCHEME):
        return address
    if not Path(address).is_dir():
        field = "output" if store is None else "store"
        shown = f"{plain_path(address)}{start_of(Path(address))}"
        raise ValueError(
            f"{field} must be the folder of a store, got {shown}: no such folder exists; call the "
            "command where the run was started, or name its store with --output."
        )
    return str(Path(address).absolute())
