"""nginx in front of the service: the documented configuration, or one of a test."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers import ROOT, Service, started

EXAMPLE = ROOT / "docs" / "examples" / "nginx.conf"
# A configuration belongs in an `http` block; without root, nginx needs folders of its own.
AROUND = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {configuration}
}}
"""


def example(port: int, instances: tuple[int, int]) -> str:
    """Return the documented configuration with these ports, and without TLS."""
    text = re.sub(r"ssl_certificate.*;", "", with_ports(port, instances))
    return text.replace(" ssl;", ";")


def example_with_tls(port: int, instances: tuple[int, int], certificate: Path) -> str:
    """Return the documented configuration with these ports, and with this certificate."""
    text = with_ports(port, instances)
    for documented in ("/etc/ssl/tracker.pem", "/etc/ssl/private/tracker.key"):
        assert f" {documented};" in text
        text = text.replace(documented, str(certificate))
    return text


def with_ports(port: int, instances: tuple[int, int]) -> str:
    text = EXAMPLE.read_text()
    for documented, actual in zip((8001, 8002), instances, strict=True):
        assert f"127.0.0.1:{documented} " in text
        text = text.replace(f"127.0.0.1:{documented} ", f"127.0.0.1:{actual} ")
    assert "listen 443 ssl;" in text
    return text.replace("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;")


def new_certificate(folder: Path) -> Path:
    """Create a certificate for 127.0.0.1, in one file with its key."""
    if shutil.which("openssl") is None:
        pytest.skip("a certificate needs openssl")
    file = folder / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    options = ["-keyout", "key.pem", "-out", "certificate.pem", "-subj", "/CN=tracker"]
    options += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command.split(), *options], cwd=folder, check=True, capture_output=True)
    file.write_text(file.read_text() + (folder / "key.pem").read_text())
    return file


@contextmanager
def running_nginx(
    configuration: str, environment: dict[str, str], folder: Path, port: int
) -> Iterator[Service]:
    """Run nginx for the block; `port` is one that it listens on."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("nginx is not installed")
    folder.mkdir()
    text = AROUND.format(folder=folder, configuration=configuration)
    (folder / "nginx.conf").write_text(text)
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with started(command, environment, folder / "output", port=port) as nginx:
        yield nginx
