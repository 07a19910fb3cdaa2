"""Doctor's checks of the network: listening sockets, port filters, and Ray's token."""

from gato_dist.doctor.network import check_port_filters, check_ray_token, parse_listening

TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 101 1
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 102 1
   2: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 103 1
"""
TCP6 = """  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000000000000:1F91 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 104 1
   1: 0000000000000000FFFF00000100007F:1F92 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 105 1
"""


def test_listening_sockets_are_parsed_from_linux_tables():
    assert list(parse_listening(TCP)) == [("127.0.0.1", 8080, "101"), ("0.0.0.0", 22, "102")]
    assert list(parse_listening(TCP6)) == [("::", 8081, "104"), ("127.0.0.1", 8082, "105")]


def test_ports_can_be_closed_on_this_machine():
    assert [finding.state for finding in check_port_filters()] == ["ok", "ok"]


def test_a_readable_token_and_a_disabled_token_are_warnings(tmp_path, monkeypatch):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    token = tmp_path / "auth_token"
    assert [finding.state for finding in check_ray_token(token)] == ["ok"]
    token.write_text("x")
    token.chmod(0o644)
    assert [finding.advice for finding in check_ray_token(token)] == [f"chmod 600 {token}"]
    token.chmod(0o600)
    assert [finding.state for finding in check_ray_token(token)] == ["ok"]
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert [finding.state for finding in check_ray_token(token)] == ["warning"]
