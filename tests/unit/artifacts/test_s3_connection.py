import datetime
import http.server
import ipaddress
import re
import ssl
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from peerkd.artifacts.s3_bucket import Bucket
from peerkd.artifacts.s3_connection import connect
from peerkd.artifacts.s3_environment import Settings, read_settings
from peerkd.artifacts.s3_retries import StoreRetries
from tests.s3_server import S3Server

ENDPOINT = "http://minio.example:9000"
KEYS = {"PEERKD_S3_ACCESS_KEY": "user", "PEERKD_S3_SECRET_KEY": "secret"}
AWS_KEYS = {"AWS_ACCESS_KEY_ID": "aws-user", "AWS_SECRET_ACCESS_KEY": "aws-secret"}


def ask(settings: Settings) -> bytes | None:
    return Bucket(settings, "bucket", retries=StoreRetries("", notify=pytest.fail, seconds=0)).get("a")


def test_settings_come_from_the_environment() -> None:
    settings = read_settings({"PEERKD_S3_ENDPOINT": ENDPOINT, "PEERKD_S3_REGION": "eu-north-7", **KEYS})
    assert settings == Settings(endpoint=ENDPOINT, region="eu-north-7", access_key="user", secret_key="secret")


def test_settings_of_other_programs_are_used_if_ours_are_not_set() -> None:
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
    message = f"PEERKD_S3_SECRET_FOLDER must be a folder with a readable file secret-key, got {tmp_path}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_settings(environment)


@pytest.mark.parametrize(
    "keys",
    [{}, {"PEERKD_S3_ACCESS_KEY": "user"}, {"PEERKD_S3_ACCESS_KEY": "user", **AWS_KEYS}, {"AWS_ACCESS_KEY_ID": "user"}],
)
def test_half_a_pair_of_keys_is_refused_and_never_completed_from_another_source(keys: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"^The store s3:// needs credentials: set PEERKD_S3_ACCESS_KEY and PEERKD_S3"):
        read_settings({"PEERKD_S3_ENDPOINT": ENDPOINT, **keys})


@pytest.mark.parametrize(
    ("endpoint", "shown"),
    [
        ("minio:9000", "minio:9000"),
        ("ftp://minio", "ftp://minio"),
        ("http://", "http://"),
        ("http://minio:port", "http://minio***"),
        ("http://minio/a", "http://minio***"),
        ("http://a?b", "http://a***"),
        ("http://minio:9000?X-Amz-Signature=hush", "http://minio:9000***"),
        ("http://minio:9000/#hush", "http://minio:9000***"),
        ("user:hush@minio:9000", "***@minio:9000"),
        ("http://user:hush:hush", "http://user***"),
        ("http://minio:9000:hush", "http://minio***"),
        ("http://[::1]:hush", "http://[::1]***"),
        ("http://[hush", "http://***"),
        ("http://minio\\hush", "http://minio***"),
    ],
)
def test_an_invalid_endpoint_is_refused_and_only_its_host_is_shown(endpoint: str, shown: str) -> None:
    message = f"PEERKD_S3_ENDPOINT must be like http://host:port or https://host:port, got {shown}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_settings({"PEERKD_S3_ENDPOINT": endpoint, **KEYS})


@pytest.mark.parametrize(
    "user",
    ["user:hush", ":hush", "hush", "user:hu/sh", "user:hu@sh", "user:hu?sh", "us er:hush", "user:hu#sh", "hush:"],
)
@pytest.mark.parametrize("variable", ["PEERKD_S3_ENDPOINT", "AWS_ENDPOINT_URL"])
def test_a_password_in_the_address_is_refused_and_never_shown(user: str, variable: str) -> None:
    with pytest.raises(ValueError, match=r"^PEERKD_S3_ENDPOINT must be like .+, got http") as caught:
        read_settings({variable: f"http://{user}@minio:9000", **KEYS})
    shown = "".join(traceback.format_exception(caught.value))
    assert not re.search("hush|hu.sh|us er", shown.partition("ValueError")[2])
    assert "http://***@minio:9000" in str(caught.value)


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("s3.eu-west-2.amazonaws.com", "eu-west-2"),
        ("S3.EU-WEST-2.amazonaws.com.", "eu-west-2"),
        ("s3-eu-west-2.amazonaws.com", "eu-west-2"),
        ("s3.dualstack.ap-southeast-1.amazonaws.com", "ap-southeast-1"),
        ("s3-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("s3-fips-us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("s3-fips.dualstack.us-east-2.amazonaws.com", "us-east-2"),
        ("s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("s3.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
        ("bucket.vpce-0a1b2c3d4e5f-6a7b8c9d.s3.eu-central-1.vpce.amazonaws.com", "eu-central-1"),
        ("bucket.vpce-0a1b2c3d4e5f-6a7b8c9d-us-east-1a.s3.us-east-1.vpce.amazonaws.com", "us-east-1"),
        ("mine-123456789012.s3-accesspoint.us-west-2.amazonaws.com", "us-west-2"),
        ("data.s3.il-central-1.amazonaws.com", "il-central-1"),
        ("s3.amazonaws.com", "us-east-1"),
        ("s3-external-1.amazonaws.com", "us-east-1"),
        ("s3.us-west-004.backblazeb2.com", "us-west-004"),
        ("s3.eu-central-1.wasabisys.com", "eu-central-1"),
        ("s3.fr-par.scw.cloud", "fr-par"),
        ("s3.gra.io.cloud.ovh.net", "gra"),
        ("0123456789abcdef.r2.cloudflarestorage.com", "auto"),
        ("space.compat.objectstorage.us-ashburn-1.oraclecloud.com", "us-ashburn-1"),
        ("minio.example", "us-east-1"),
        ("10.0.0.1", "us-east-1"),
        # A user's own server on a machine of Amazon, or behind a load balancer of Amazon.
        ("ec2-1-2-3-4.eu-west-1.compute.amazonaws.com", "us-east-1"),
        ("minio-0123456789abcdef.elb.eu-west-1.amazonaws.com", "us-east-1"),
        ("s3.eu-west-2.amazonaws.com.example", "us-east-1"),
    ],
)
def test_requests_are_signed_for_the_region_that_the_host_names(host: str, region: str) -> None:
    settings = read_settings({"PEERKD_S3_ENDPOINT": f"https://{host}", **KEYS})
    assert settings.region == region


def test_the_client_keeps_the_region_that_the_host_names() -> None:
    settings = read_settings({"PEERKD_S3_ENDPOINT": "https://s3.eu-west-2.amazonaws.com", **KEYS})
    client = connect(settings)
    assert client._base_url.region == "eu-west-2"
    url = client._base_url.build(method="GET", region=settings.region, bucket_name="data", object_name="a")
    assert url.geturl() == "https://data.s3.eu-west-2.amazonaws.com/a"


def test_a_region_is_required_if_a_host_of_amazon_names_none() -> None:
    environment = {"PEERKD_S3_ENDPOINT": "https://s3-accelerate.amazonaws.com", **KEYS}
    message = "PEERKD_S3_REGION must be set, since PEERKD_S3_ENDPOINT names no region: s3-accelerate.amazonaws.com."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_settings(environment)
    assert read_settings({**environment, "AWS_REGION": "eu-west-2"}).region == "eu-west-2"


def test_a_region_that_contradicts_the_host_is_refused_unless_it_is_set_for_all_programs() -> None:
    environment = {"PEERKD_S3_ENDPOINT": "https://s3.eu-west-2.amazonaws.com", **KEYS}
    with pytest.raises(ValueError, match=r"^PEERKD_S3_REGION must be eu-west-2, the region that PEERKD_S3_ENDPOINT na"):
        read_settings({**environment, "PEERKD_S3_REGION": "us-east-1"})
    assert read_settings({**environment, "AWS_REGION": "us-east-1"}).region == "eu-west-2"
    assert read_settings({**environment, "PEERKD_S3_REGION": "eu-west-2\n"}).region == "eu-west-2"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_key_loses_the_line_end_that_editors_write(tmp_path: Path, end: str) -> None:
    variables = {name: f"{value}{end}" for name, value in KEYS.items()}
    settings = read_settings({"PEERKD_S3_ENDPOINT": f"{ENDPOINT}{end}", **variables})
    assert (settings.endpoint, settings.access_key, settings.secret_key) == (ENDPOINT, "user", "secret")


@pytest.mark.parametrize("key", ["se cret", "secret ", " secret", "se\tcret", "se\ncret", "secret\n\n", "sécret", "\0"])
@pytest.mark.parametrize("place", ["PEERKD_S3_SECRET_KEY", "AWS_SECRET_ACCESS_KEY", "secret-key"])
def test_a_key_with_invalid_characters_is_refused_and_not_shown(tmp_path: Path, place: str, key: str) -> None:
    environment = {"PEERKD_S3_ENDPOINT": ENDPOINT}
    if place == "secret-key":
        (tmp_path / "access-key").write_text("user")
        (tmp_path / place).write_text(key, newline="")
        environment["PEERKD_S3_SECRET_FOLDER"] = str(tmp_path)
        place = f"The content of {tmp_path / place}"
    else:
        environment |= AWS_KEYS if place.startswith("AWS") else KEYS
        environment[place] = key
    with pytest.raises(ValueError, match=f"^{place} must be a key of printable ASCII char") as caught:
        read_settings(environment)
    assert "cret" not in str(caught.value).replace("secret-key", "")


def test_a_file_without_a_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "access-key").write_text("\n")
    with pytest.raises(ValueError, match=f"^The content of {tmp_path}/access-key must be a key, got an empty text"):
        read_settings({"PEERKD_S3_ENDPOINT": ENDPOINT, "PEERKD_S3_SECRET_FOLDER": str(tmp_path)})


def test_replaced_files_of_keys_are_used_from_the_next_request_on(tmp_path: Path) -> None:
    (tmp_path / "access-key").write_text("old")
    (tmp_path / "secret-key").write_text("old-secret")
    client = connect(read_settings({"PEERKD_S3_ENDPOINT": ENDPOINT, "PEERKD_S3_SECRET_FOLDER": str(tmp_path)}))
    assert client._provider is not None
    assert client._provider.retrieve().access_key == "old"
    (tmp_path / "access-key").write_text("new\n")
    (tmp_path / "secret-key").write_text("new-secret\n")
    assert (client._provider.retrieve().access_key, client._provider.retrieve().secret_key) == ("new", "new-secret")
    (tmp_path / "access-key").unlink()
    assert client._provider.retrieve().access_key == "new"


def test_an_invalid_region_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^PEERKD_S3_ENDPOINT and PEERKD_S3_REGION must be those of an S3 server, got "
    ):
        connect(read_settings({"PEERKD_S3_ENDPOINT": ENDPOINT, "PEERKD_S3_REGION": "no region", **KEYS}))


def test_secrets_are_not_shown() -> None:
    keys = {"PEERKD_S3_ACCESS_KEY": "hush", "PEERKD_S3_SECRET_KEY": "hush"}
    assert "hush" not in repr(read_settings({"PEERKD_S3_ENDPOINT": ENDPOINT, **keys}))


def test_a_missing_file_of_certificates_is_refused() -> None:
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
    """Run a server that answers every request over TLS, and yield its address and a file with its certificate."""
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
