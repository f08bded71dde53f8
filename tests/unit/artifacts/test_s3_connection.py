import datetime
import http.server
import ipaddress
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from peerkd.artifacts.s3_bucket import Bucket
from peerkd.artifacts.s3_connection import Settings, connect, read_settings
from peerkd.artifacts.s3_patience import Patience
from tests.s3_server import S3Server

ENDPOINT = "http://minio.example:9000"
KEYS = {"PEERKD_S3_ACCESS_KEY": "user", "PEERKD_S3_SECRET_KEY": "secret"}
AWS_KEYS = {"AWS_ACCESS_KEY_ID": "aws-user", "AWS_SECRET_ACCESS_KEY": "aws-secret"}


def ask(settings: Settings) -> bytes | None:
    return Bucket(settings, "bucket", patience=Patience("", tell=pytest.fail, seconds=0)).get("a")


def test_settings_come_from_the_environment() -> None:
    settings = read_settings({"PEERKD_S3_ENDPOINT": ENDPOINT, "PEERKD_S3_REGION": "eu-north-7", **KEYS})
    assert settings == Settings(endpoint=ENDPOINT, region="eu-north-7", access_key="user", secret_key="secret")


def test_settings_that_other_programs_use_serve_too_and_ours_come_first() -> None:
    environment = {"AWS_ENDPOINT_URL": ENDPOINT, "AWS_REGION": "a", "AWS_SESSION_TOKEN": "t", **AWS_KEYS}
    theirs = Settings(endpoint=ENDPOINT, region="a", access_key="aws-user", secret_key="aws-secret", session_token="t")
    assert read_settings(environment) == theirs
    ours = {**KEYS, "PEERKD_S3_ENDPOINT": "https://s3.example", "PEERKD_S3_REGION": "b"}
    assert read_settings({**environment, **ours}) == Settings(
        endpoint="https://s3.example", region="b", access_key="user", secret_key="secret"
    )


def test_keys_are_read_from_the_files_of_a_mounted_secret(tmp_path: Path) -> None:
    (tmp_path / "access-key").write_text("mounted")
    (tmp_path / "secret-key").write_text("mounted-secret\n")
    environment = {"PEERKD_S3_ENDPOINT": ENDPOINT, "PEERKD_S3_SECRET_FOLDER": str(tmp_path), **AWS_KEYS}
    settings = read_settings(environment)
    assert (settings.access_key, settings.secret_key) == ("mounted", "mounted-secret")
    assert read_settings({**environment, **KEYS}).access_key == "user"
    (tmp_path / "secret-key").unlink()
    message = f"PEERKD_S3_SECRET_FOLDER must have a file secret-key to read, got {tmp_path}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_settings(environment)


@pytest.mark.parametrize(
    "keys",
    [{}, {"PEERKD_S3_ACCESS_KEY": "user"}, {"PEERKD_S3_ACCESS_KEY": "user", **AWS_KEYS}, {"AWS_ACCESS_KEY_ID": "user"}],
)
def test_half_a_pair_of_keys_is_refused_and_never_completed_from_elsewhere(keys: dict[str, str]) -> None:
    with pytest.raises(
        ValueError, match=r"^A store at s3:// needs credentials: set PEERKD_S3_ACCESS_KEY and PEERKD_S3"
    ):
        read_settings({"PEERKD_S3_ENDPOINT": ENDPOINT, **keys})


@pytest.mark.parametrize(
    "endpoint",
    ["minio:9000", "ftp://minio", "http://", "http://minio:port", "http://minio/a", "http://a:b@minio", "http://a?b"],
)
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    message = f"PEERKD_S3_ENDPOINT must be like http://host:port or https://host:port, got {endpoint}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_settings({"PEERKD_S3_ENDPOINT": endpoint, **KEYS})


def test_a_region_that_is_none_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^PEERKD_S3_ENDPOINT and PEERKD_S3_REGION must be those of an S3 server, got "
    ):
        connect(read_settings({"PEERKD_S3_ENDPOINT": ENDPOINT, "PEERKD_S3_REGION": "no region", **KEYS}))


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(read_settings({"PEERKD_S3_ENDPOINT": ENDPOINT, **KEYS}))


def test_certificates_that_are_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^PEERKD_S3_CA_FILE must name a file with certificates, got /nowhere\.$"):
        read_settings({"PEERKD_S3_ENDPOINT": ENDPOINT, "PEERKD_S3_CA_FILE": "/nowhere", **KEYS})


def test_a_server_is_trusted_if_the_file_has_the_certificate_of_its_authority(tmp_path: Path) -> None:
    with secure_server(tmp_path) as (endpoint, ca_file):
        environment = {"PEERKD_S3_ENDPOINT": endpoint, **KEYS}
        assert ask(read_settings({**environment, "PEERKD_S3_CA_FILE": ca_file})) == b"content"
        with pytest.raises(
            ValueError, match=rf"^The store {endpoint} cannot be trusted \(.+\): set PEERKD_S3_CA_FILE to"
        ):
            ask(read_settings(environment))


def test_a_server_without_a_certificate_is_not_trusted(s3_server: S3Server) -> None:
    endpoint = s3_server.endpoint.replace("http://", "https://")
    with pytest.raises(
        ValueError, match=r"^The store https://\S+ cannot be trusted \(.+\): .+ address with http:// if"
    ):
        ask(read_settings(s3_server.environment(endpoint=endpoint)))


@contextmanager
def secure_server(folder: Path) -> Iterator[tuple[str, str]]:
    """Run a server that answers everything over TLS; yield its address and a file with its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key(), serial_number=1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    (folder / "certificate").write_bytes(certificate.public_bytes(encoding))
    (folder / "key").write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate", folder / "key")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answer) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}", str(folder / "certificate")
        finally:
            server.shutdown()
            thread.join()


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "7")
        self.send_header("ETag", '"9a0364b9e99bb480dd25e1f0284c8555"')
        self.end_headers()
        self.wfile.write(b"content")

    def log_message(self, format: str, *args: object) -> None:
        pass
