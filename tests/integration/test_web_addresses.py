"""https:// sources reach no private network: not by URI, redirect, name, or a name server's second answer."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.source_servers import Page, WebServer
from integration.web_sites import html, item, reader, sitemap
from sluice.errors import BadRequest, ExtractionError, Transient
from sluice.model.scan import ListingEntry
from sluice.model.source import SourceSpec
from sluice.sources.schemes import reader_for
from sluice.sources.web.address import may_connect


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer() as running:
        yield running


@pytest.mark.parametrize(
    ("address", "public", "trusted"),
    [
        ("93.184.216.34", True, True),
        ("2606:2800:220:1::1", True, True),
        ("::ffff:93.184.216.34", True, True),
        ("64:ff9b::5db8:d822", True, True),
        ("127.0.0.1", False, True),
        ("10.1.2.3", False, True),
        ("172.31.255.255", False, True),
        ("192.168.0.1", False, True),
        ("100.64.0.1", False, True),
        ("::1", False, True),
        ("fd12:3456::1", False, True),
        ("::ffff:10.0.0.1", False, True),
        ("64:ff9b::a00:1", False, True),
        ("::127.0.0.1", False, True),
        ("169.254.169.254", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("64:ff9b::a9fe:a9fe", False, False),
        ("fd00:ec2::254", False, False),
        ("100.100.100.200", False, False),
        ("0.0.0.0", False, False),
        ("::", False, False),
        ("224.0.0.1", False, False),
        ("255.255.255.255", False, False),
        ("198.18.0.1", False, False),
        ("203.0.113.1", False, False),
        ("fe80::1%eth0", False, False),
        ("ff02::1", False, False),
        ("2002:7f00:1::", False, False),
        ("2001:0:1::", False, False),
        ("2001:db8::1", False, False),
        ("100::1", False, False),
        ("fec0::1", False, False),
    ],
)
def test_which_addresses_may_be_connected_to(address: str, public: bool, trusted: bool) -> None:
    assert may_connect(address, trusted=False) is public
    assert may_connect(address, trusted=True) is trusted


@pytest.mark.parametrize(
    "uri",
    [
        "http://example.org/",
        "https://example.org:8443/",
        "https://10.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[fe80::1%25eth0]/",
        "https://169.254.169.254/latest/meta-data/",
        "https:///path",
        "https://h:port/",
    ],
)
def test_what_no_source_can_be(server: WebServer, uri: str) -> None:
    with pytest.raises(BadRequest, match="Nothing was read"):
        reader_for(SourceSpec(uri, "c"), server.reach())


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("https://127.0.0.1/", "address"),  # the trusted host is trusted on its own port alone
        ("http://127.0.0.1/", "address"),
        ("http://127.0.0.1:1/", "bad_url"),
        ("https://169.254.169.254/latest/", "address"),
        ("http://169.254.169.254/latest/", "address"),
        ("https://[::ffff:10.0.0.1]/", "address"),
        ("https://[::1]/", "address"),
        ("//169.254.169.254/", "address"),
        ("file:///etc/passwd", "bad_url"),
        ("gopher://127.0.0.1/", "bad_url"),
    ],
)
def test_no_redirect_leads_into_a_private_network(server: WebServer, target: str, code: str) -> None:
    """Even where those hosts may hold documents, and whatever the trusted one says."""
    server.pages["/a"] = Page(status=302, headers={"Location": target})
    hosts = ("169.254.169.254", "::ffff:a00:1", "::ffff:10.0.0.1", "::1")
    source = reader(server, "/a", hosts=hosts)
    with pytest.raises(ExtractionError) as caught:
        source.read(item(ListingEntry(server.url("/a"), "", "f", 0)))
    assert caught.value.code == code
    with pytest.raises(BadRequest, match="deleted"):
        list(source.scan())


@pytest.mark.parametrize("answers", [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::ffff:127.0.0.1"], ["0.0.0.0"]])
def test_a_name_that_leads_into_a_private_network_is_refused(
    server: WebServer, answers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bad answer among good ones is enough, and nothing is connected to."""
    connected: list[object] = []
    monkeypatch.setattr(socket, "create_connection", lambda *args, **options: connected.append(args))
    reach = server.reach(resolve=lambda host, port: answers)
    source = reader_for(SourceSpec("https://docs.example/list.txt", "c"), reach)
    with pytest.raises(BadRequest, match="address"):
        list(source.scan())
    with pytest.raises(ExtractionError, match="address"):
        source.read(item(ListingEntry("https://docs.example/a", "", "f", 0)))
    assert connected == []


def test_a_second_answer_of_the_name_server_is_never_asked_for(server: WebServer) -> None:
    """The address that was checked is the one that is connected to: one look-up a connection, by nobody else."""
    port = int(server.host.rpartition(":")[2])
    asked: list[tuple[str, int]] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    place = f"docs.example:{port}"  # known to `resolve` alone: any other look-up would fail
    server.pages["/a"] = html("alpha", {"ETag": '"1"'})
    reach = server.reach(resolve=resolve, trusted_hosts=(place,))
    source = reader_for(SourceSpec(f"http://{place}/a", "c"), reach)
    (entry,) = source.scan()
    assert b"alpha" in source.read(item(entry)).content
    assert asked == [("docs.example", port)]
    assert {each.headers["host"] for each in server.asked} == {place}


def test_names_that_do_not_resolve_or_hang(server: WebServer) -> None:
    def fails(host: str, port: int) -> list[str]:
        raise socket.gaierror("no such name")

    def hangs(host: str, port: int) -> list[str]:
        never.wait()
        return []

    never = threading.Event()
    try:
        resolvers: tuple[Callable[[str, int], list[str]], ...] = (fails, hangs, lambda host, port: [])
        for resolve in resolvers:
            reach = server.reach(resolve=resolve, fetch_timeout_s=0.3)
            with pytest.raises(Transient, match=r"docs\.example"):
                list(reader_for(SourceSpec("https://docs.example/a.txt", "c"), reach).scan())
    finally:
        never.set()


# --- TLS --------------------------------------------------------------------------------------------------------


def certificate(folder: Path, name: str) -> Path:
    """A self-signed one, with its key, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(built.public_bytes(serialization.Encoding.PEM) + secret)
    return path


def test_tls_is_checked_against_the_name_and_not_the_address(server: WebServer, tmp_path: Path) -> None:
    pem = certificate(tmp_path, "docs.example")
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.sni_callback = lambda connection, name, _: names.append(name)
    server.secure(context)
    port = server.host.rpartition(":")[2]
    options: dict[str, Any] = {
        "ssl_context": ssl.create_default_context(cafile=str(pem)),
        "resolve": lambda host, port: ["127.0.0.1"],
        "trusted_hosts": (f"docs.example:{port}", f"other.example:{port}"),
    }
    server.pages["/a"] = html("alpha", {"ETag": '"1"'})
    source = reader_for(SourceSpec(f"https://docs.example:{port}/a", "c"), server.reach(**options))
    (entry,) = source.scan()
    assert b"alpha" in source.read(item(entry)).content
    assert set(names) == {"docs.example"}
    other = reader_for(SourceSpec(f"https://other.example:{port}/a", "c"), server.reach(**options))
    with pytest.raises(ExtractionError, match="certificate"):
        other.read(item(ListingEntry(f"https://other.example:{port}/a", "", "f", 0)))
    with pytest.raises(Transient, match="certificate"):
        list(other.scan())


def test_proxies_of_the_environment_are_not_used(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server.pages["/sitemap.xml"] = sitemap(server, "/a", lastmod="2024-05-01")
    assert len(list(reader(server, "/sitemap.xml").scan())) == 1
