import os
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.s3_server import S3Server

NUM_BYTES = 80_000_000
PART_BYTES = 5 * 1024**2


def test_a_large_file_takes_the_memory_of_a_few_parts(s3_server: S3Server, prefix: str, tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import resource, sys
        from pathlib import Path
        from peerkd.artifacts.s3 import S3Store, open_bucket

        def peak_bytes():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

        address, num_bytes, part_bytes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
        store = S3Store(*open_bucket(address, notify=print, part_bytes=part_bytes))
        with store.open_workspace("a") as workspace:
            with (workspace.folder / "weights").open("wb") as file:
                file.truncate(num_bytes)
            (workspace.folder / "small").write_bytes(b"1")
            workspace.save("small")
            before = peak_bytes()
            workspace.save("weights")
            assert workspace.load("weights")
            assert (workspace.folder / "weights").stat().st_size == num_bytes
        print(peak_bytes() - before)
        """
    )
    environment = {
        **os.environ,
        **s3_server.environment(),
        "PEERKD_CACHE_FOLDER": str(tmp_path),
        "TMPDIR": str(tmp_path),
    }
    command = [sys.executable, "-c", script, f"s3://{s3_server.bucket}/{prefix}", str(NUM_BYTES), str(PART_BYTES)]
    answer = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    # This covers two parts of an upload, eight pieces of a download, and memory that the allocator keeps.
    assert int(answer.stdout) < 8 * PART_BYTES
