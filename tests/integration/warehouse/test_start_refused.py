"""What the server says when it can't start where it is told to, or starts in the open."""

import pytest
from conftest import running
from test_lifecycle import run_server


def test_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "plain").write_text("x")
    (tmp_path / "odd" / "server.lock").mkdir(parents=True)
    for directory in (tmp_path / "plain", tmp_path / "plain" / "sub", tmp_path / "odd", "/proc/w"):
        answer = run_server(directory, "--port", "0")
        assert answer.returncode == 1
        assert answer.stderr.startswith(f"can't keep a warehouse in {directory} (")
        assert "--data-dir" in answer.stderr


@pytest.mark.parametrize("port", ["65536", "-1"])
def test_port_that_does_not_exist(tmp_path, port):
    answer = run_server(tmp_path / "w", "--port", port)
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"port {port} does not exist")


def test_listening_to_other_machines_is_said(tmp_path):
    with running(tmp_path / "open", "--host", "0.0.0.0") as server:
        assert "unencrypted" in (server.directory / "server.log").read_text()
    with running(tmp_path / "closed") as server:
        assert "unencrypted" not in (server.directory / "server.log").read_text()
