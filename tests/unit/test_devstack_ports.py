import socket
from pathlib import Path

import pytest

from devstack import DevstackError, Ports, ports


def test_free_ports_are_free_different_and_never_given_to_outgoing_connections() -> None:
    numbers = ports.free(50)
    assert len(set(numbers)) == 50
    lowest_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert max(numbers) < lowest_outgoing
    for number in numbers:
        socket.create_server(("127.0.0.1", number)).close()


def test_a_stack_gets_one_for_each_of_its_servers() -> None:
    settings = ports.free_settings()
    assert Ports.from_settings(settings) == Ports(
        **{name.removeprefix("SLUICE_PORT_").lower(): int(port) for name, port in settings.items()}
    )


def test_too_few_free_ports_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: False)
    with pytest.raises(DevstackError, match="Fewer than 3 ports are free"):
        ports.free(3)


def test_where_outgoing_connections_may_take_any_port_there_are_still_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = tmp_path / "ip_local_port_range"
    everything.write_text("1024\t65535\n")
    monkeypatch.setattr(ports, "_OUTGOING", everything)
    assert len(set(ports.free(12))) == 12
