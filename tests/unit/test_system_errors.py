import errno
import os
import pickle
import resource
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors import SafetensorError

from peerkd.errors import MachineError
from peerkd.system_errors import add_path_to_errors, check_temporary_folder, last_printed_error, plain_error, translate

PATH = "/nowhere/runs/peers.partial"


def of_system(number: int, path: str | None = PATH) -> OSError:
    return OSError(number, os.strerror(number), path) if path else OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, f"The disk of {PATH} ("),
        (errno.EDQUOT, f"The disk quota of {PATH} is used up: free some space or raise the quota; then"),
        (errno.EFBIG, f"A file at {PATH} became larger than the file system allows: raise the limit; then"),
        (errno.EROFS, f"The file system of {PATH} is read-only: make it writable"),
        (errno.EACCES, f"The permissions of {PATH} forbid this to user {os.getuid()} (Permission denied): "),
        (
            errno.EPERM,
            f"The permissions of {PATH} forbid this to user {os.getuid()} (Operation not permitted): ",
        ),
        (errno.EMFILE, "This process has as many open files as ulimit -n allows ("),
    ],
)
def test_errors_that_a_user_must_fix_are_value_errors(number: int, said: str) -> None:
    refusal = translate(of_system(number))
    assert isinstance(refusal, ValueError)
    assert str(refusal).startswith(said)
    assert str(refusal).endswith("; then repeat the command, and it continues where it stopped.")


@pytest.mark.parametrize(
    ("number", "may_pass", "said"),
    [
        (errno.EIO, True, f"The disk or file server of {PATH} failed (Input/output error)."),
        (errno.ESTALE, True, f"The disk or file server of {PATH} failed (Stale file handle)."),
        (errno.ENOENT, False, f"The operating system refused {PATH}: No such file or directory."),
        (errno.ENAMETOOLONG, False, f"The operating system refused {PATH}: File name too long."),
        (
            errno.EAGAIN,
            True,
            "The machine cannot start more processes (Resource temporarily unavailable): use fewer ",
        ),
        (errno.ENOMEM, True, "Memory ran out (Cannot allocate memory): use fewer processes (compute.num_workers), "),
    ],
)
def test_errors_of_the_machine_state_whether_they_are_transient(number: int, may_pass: bool, said: str) -> None:
    refusal = translate(of_system(number))
    assert isinstance(refusal, MachineError)
    assert str(refusal).startswith(said)
    assert refusal.may_pass == may_pass


def test_every_system_error_except_those_of_connections_has_a_message() -> None:
    for number in errno.errorcode:
        for path in (PATH, None):
            refusal = translate(of_system(number, path))
            if number in (errno.EPIPE, errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED):
                assert refusal is None
                continue
            text = str(refusal)
            assert text.endswith("."), text
            assert not any(wrong in text for wrong in ("\n", "  ", "None")), text


FORBIDDEN = ImportError("a.so: failed to map segment from shared object: Operation not permitted")  # mounted noexec


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError("x"), RuntimeError("x"), OSError("x"), BrokenPipeError(), FORBIDDEN]
)
def test_errors_of_other_kinds_are_not_translated(error: Exception) -> None:
    assert plain_error(error) is None
    assert translate(error) is None


def raised_by_numpy() -> None:
    np.empty(2**58)


def raised_by_torch() -> None:
    torch.empty(2**58)


def raised_by_arrow() -> None:
    raise pa.ArrowMemoryError("malloc of size 288230376151711744 failed")


def raised_by_a_gpu() -> None:
    raise torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 1.00 GiB is "
        "free."
    )


def raised_by_the_linker() -> None:
    raise ImportError("libtorch_cpu.so: failed to map segment from shared object")


@pytest.mark.parametrize(
    ("take", "detail"),
    [
        (raised_by_the_linker, "libtorch_cpu.so: failed to map segment"),
        (raised_by_numpy, "Unable to allocate 2.00 EiB for an array"),
        (raised_by_torch, "you tried to allocate 1152921504606846976 bytes"),
        (raised_by_arrow, "malloc of size 288230376151711744 failed"),
        (raised_by_a_gpu, "CUDA out of memory"),
    ],
)
def test_running_out_of_memory_has_one_message_for_all_libraries(take, detail) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        take()
    sent = pickle.loads(pickle.dumps(plain_error(caught.value)))
    for error in (caught.value, sent):
        refusal = translate(error)
        assert isinstance(refusal, MachineError)
        assert refusal.may_pass
        assert str(refusal).startswith("Memory ran out (")
        assert detail in str(refusal)


def test_an_error_of_safetensors_becomes_an_oserror_with_number_and_file() -> None:
    error = plain_error(SafetensorError('Error while serializing: I/O error: full (os error 28) at path "/a/.tmpb"'))
    assert isinstance(error, OSError)
    assert (error.errno, error.filename) == (errno.ENOSPC, "/a/.tmpb")
    assert plain_error(SafetensorError("Error while deserializing header: HeaderTooSmall")) is None


def test_a_real_error_of_safetensors_is_found() -> None:
    from safetensors.torch import save_file

    with pytest.raises(SafetensorError) as caught:
        save_file({"a": torch.ones(1)}, "/nowhere/a")
    assert getattr(plain_error(caught.value), "errno", None) == errno.ENOENT


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError("12800 requested and 3 written"), errno.ENOSPC),
        (shutil.Error([("/a/b", "/c/b", "[Errno 122] Disk quota exceeded: '/c/b'")]), errno.EDQUOT),
        (OSError("cannot identify image file"), None),
    ],
)
def test_an_error_without_a_number_is_one_of_the_system_if_its_text_says_so(error: OSError, number: int | None) -> None:
    assert getattr(plain_error(error), "errno", None) == number


def test_a_short_write_of_numpy_is_attributed_to_the_limit_or_the_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peerkd.system_errors.resource.getrlimit", lambda _: (1_000, 1_000))
    for free_bytes, number in ((10**9, errno.EFBIG), (0, errno.ENOSPC)):
        monkeypatch.setattr("peerkd.system_errors._free_bytes", lambda _, free_bytes=free_bytes: free_bytes)
        with pytest.raises(OSError) as caught, add_path_to_errors(tmp_path):  # noqa: PT011
            raise OSError("12800 requested and 3 written")
        assert (caught.value.errno, caught.value.filename) == (number, str(tmp_path))


def test_a_machine_without_a_temporary_folder_gets_advice() -> None:
    refusal = translate(FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp', '/']"))
    assert isinstance(refusal, ValueError)
    assert str(refusal) == "No usable temporary directory found in ['/tmp', '/']: set TMPDIR to a writable folder."


@pytest.mark.parametrize(
    ("lines", "number", "path"),
    [
        ("Traceback:\nOSError: [Errno 28] No space left on device: '/tmp/a'\nlast", errno.ENOSPC, "/tmp/a"),
        ("mktemp: failed to create directory: Read-only file system", errno.EROFS, None),
        ("KeyError: 28", None, None),
        ("", None, None),
    ],
)
def test_errors_of_the_system_are_found_in_the_last_output_of_a_process(lines, number, path) -> None:
    found = last_printed_error(lines)
    assert (found and found.errno, found and found.filename) == (number, path)


def test_a_file_size_limit_is_reported_with_its_value(tmp_path: Path) -> None:
    script = """
        import resource, sys
        from pathlib import Path
        from peerkd.system_errors import add_path_to_errors, translate
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            with add_path_to_errors(Path(sys.argv[1])):
                (Path(sys.argv[1]) / "a").write_bytes(bytes(2000))
        except OSError as error:
            print(translate(error))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"A file at {tmp_path} became larger than ulimit -f allows (1,000 bytes): raise the limit;")


def in_a_namespace(script: str) -> str:
    """Return the output of a script that may mount its own file systems."""
    command = ["unshare", "-m" if os.getuid() == 0 else "-rm", "sh", "-c", textwrap.dedent(script)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("this machine has no command unshare")
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"this machine allows no mounts: {done.stderr.strip()}")
    return done.stdout


TELL = """
    import sys
    from pathlib import Path
    from peerkd.system_errors import add_path_to_errors, translate
    try:
        with add_path_to_errors(Path(sys.argv[1])):
            (Path(sys.argv[1]) / "a").write_bytes(bytes(200_000))
    except OSError as error:
        print(translate(error))
"""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("size=40k", "The disk of {path} (0 bytes free) is full: no space is left: free some space;"),
        ("ro", "The file system of {path}/a is read-only: make it writable"),
        ("nr_inodes=1", "The disk of {path}/a has no room for more files (all 1 inodes are used): delete some;"),
    ],
)
def test_a_real_disk_is_reported_with_its_free_space(tmp_path: Path, options: str, said: str) -> None:
    (tmp_path / "tell.py").write_text(textwrap.dedent(TELL))
    (tmp_path / "disk").mkdir()
    mount = f"mount -t tmpfs -o {options} tmpfs {tmp_path}/disk"
    text = in_a_namespace(f"{mount} && {sys.executable} {tmp_path}/tell.py {tmp_path}/disk")
    assert text.startswith(said.format(path=tmp_path / "disk"))


def test_an_error_that_names_its_file_keeps_it_and_one_that_does_not_gets_the_folder(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught, add_path_to_errors(tmp_path):  # noqa: PT011
        raise of_system(errno.ENOSPC)
    assert caught.value.filename == PATH
    with pytest.raises(OSError) as caught, add_path_to_errors(tmp_path):  # noqa: PT011
        raise of_system(errno.ENOSPC, None)
    assert caught.value.filename == str(tmp_path)
    with pytest.raises(KeyError), add_path_to_errors(tmp_path):
        raise KeyError


def test_too_many_open_files_are_reported_with_the_limit() -> None:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert f"({limit:,})" in str(translate(of_system(errno.EMFILE)))


def test_a_missing_temporary_folder_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    check_temporary_folder()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    with pytest.raises(
        ValueError, match=rf"^TMPDIR must name .+, got {tmp_path}/gone: No such file or directory\. Set"
    ):
        check_temporary_folder()
    monkeypatch.delenv("TMPDIR")
    check_temporary_folder()
