"""Starting, sharing, stopping and killing the local server."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest
from conftest import running, start

from stock_platform.errors import PlatformError
from stock_platform.settings import Settings
from stock_platform.warehouse import client, local


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def settings(tmp_path):
    made = Settings(_env_file=None, home=tmp_path / "home", warehouse_port=free_port())
    yield made
    local.stop(made)


def run_server(directory, *arguments):
    return subprocess.run(
        [
            sys.executable,
            *("-m", "stock_platform.warehouse.server", "--directory", str(directory)),
            *arguments,
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_started_when_needed_and_stopped_by_who_started_it(settings):
    assert local.status(settings) is None
    with local.ensure_running(settings) as first:
        assert local.status(settings) == first
        assert first.port == settings.warehouse_port
        with local.ensure_running(settings) as second:
            assert second == first
        assert local.status(settings) == first
        with client.connect(settings, run_id="r1") as warehouse:
            assert warehouse.command("SELECT currentDatabase()") == "market"
    assert local.status(settings) is None
    assert not (local.directory(settings) / "server.json").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(first.pid, 0)


def test_the_last_user_stops_it_not_the_first(settings):
    started, leave = threading.Event(), threading.Event()

    def first():
        with local.ensure_running(settings):
            started.set()
            leave.wait(60)

    thread = threading.Thread(target=first)
    thread.start()
    assert started.wait(60)
    with local.ensure_running(settings) as server:
        leave.set()
        thread.join(60)
        assert local.status(settings) == server
    assert local.status(settings) is None


def test_a_server_someone_started_by_hand_is_left_alone(settings):
    with running(local.directory(settings)) as server:
        with local.ensure_running(settings) as found:
            assert found.pid == server.process.pid
        assert local.status(settings) is not None
        assert local.stop(settings) == found
        assert server.process.wait(30) == 0
    assert local.stop(settings) is None


def test_two_processes_racing_to_start_end_with_one_server(settings):
    code = (
        "import sys; from stock_platform.settings import Settings; "
        "from stock_platform.warehouse import client, local; "
        "s = Settings(_env_file=None, home=sys.argv[1], warehouse_port=int(sys.argv[2]));\n"
        "with local.ensure_running(s) as w:\n"
        "    with client.connect(s) as c: print(w.pid, c.command('SELECT 7'), flush=True)\n"
        "    sys.stdin.read()\n"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(settings.home), str(settings.warehouse_port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = [racer.stdout.readline().split() for racer in racers]
    assert len({pid for pid, _ in said}) == 1
    assert [answer for _, answer in said] == ["7"] * 3
    for racer in racers:
        racer.communicate("", timeout=60)
    assert local.status(settings) is None


def test_second_start_names_pid_address_and_the_mend(tmp_path):
    with running(tmp_path / "w") as server:
        second = run_server(tmp_path / "w", "--port", "0")
        assert second.returncode == 1
        assert f"pid {server.process.pid}" in second.stderr
        assert server.url in second.stderr
        assert "stock-platform down" in second.stderr
        assert "Traceback" not in second.stderr
        assert server.request("SELECT 1").text == "1\n"


def test_taken_port_names_port_and_setting(settings):
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings.warehouse_port))
        other.listen()
        with (
            pytest.raises(PlatformError, match=str(settings.warehouse_port)) as caught,
            local.ensure_running(settings),
        ):
            pass
    assert "STOCK_PLATFORM_WAREHOUSE_PORT" in str(caught.value)
    with local.ensure_running(settings):
        pass


def test_unusable_host_and_damaged_files(tmp_path):
    answer = run_server(tmp_path / "w", "--host", "no.such.host.invalid")
    assert answer.returncode == 1
    assert "STOCK_PLATFORM_WAREHOUSE_HOST" in answer.stderr
    (tmp_path / "w" / "credentials.json").write_text("{not json")
    answer = run_server(tmp_path / "w", "--port", "0")
    assert answer.returncode == 1
    assert "credentials.json" in answer.stderr
    assert "delete it" in answer.stderr


def test_state_left_by_kill_9_is_not_believed(settings):
    with local.ensure_running(settings) as server:
        os.kill(server.pid, signal.SIGKILL)
        state = local.directory(settings) / "server.json"
        deadline = time.monotonic() + 20
        while local.status(settings) is not None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert json.loads(state.read_text())["pid"] == server.pid
        with pytest.raises(PlatformError, match="no warehouse server runs"):
            client.connect(settings)
        with local.ensure_running(settings) as again:
            assert again.pid != server.pid
            with client.connect(settings) as warehouse:
                assert warehouse.command("SELECT 1") == 1


def test_kill_9_loses_no_acknowledged_row(tmp_path):
    directory, acknowledged = tmp_path / "w", []
    for life in range(3):
        with running(directory) as server:
            begun = time.monotonic()
            if life == 0:
                sql = "CREATE TABLE default.t (a UInt64) ENGINE = MergeTree ORDER BY a"
                assert server.request(sql).ok
            found = server.request("SELECT a FROM default.t").text.split()
            assert set(acknowledged) <= {int(a) for a in found}
            assert len(found) == len(set(found))
            assert time.monotonic() - begun < 5
            killer = threading.Timer(0.7, server.process.send_signal, [signal.SIGKILL])
            killer.start()
            number = (life + 1) * 1_000_000
            while server.process.poll() is None:
                try:
                    answer = server.request(f"INSERT INTO default.t VALUES ({number})")
                except OSError:
                    break
                if answer.ok:
                    acknowledged.append(number)
                number += 1
            killer.join()
    assert len(acknowledged) > 30
    with running(directory) as server:
        found = server.request("SELECT a FROM default.t").text.split()
        assert set(acknowledged) <= {int(a) for a in found}


def test_sigterm_lets_a_running_query_finish(tmp_path):
    with running(tmp_path / "w") as server:
        answers = []
        asked = threading.Thread(
            target=lambda: answers.append(server.request("SELECT sleep(1.5), 'done'").text)
        )
        asked.start()
        sql = "SELECT count() FROM system.processes WHERE query LIKE '%sleep(1.5)%'"
        while server.request(sql).text != "2\n":
            time.sleep(0.02)
        assert server.stop(signal.SIGTERM) == 0
        asked.join(30)
        assert answers == ["0\tdone\n"]
    assert not (tmp_path / "w" / "server.json").exists()


def test_sigint_stops_in_spite_of_an_endless_query(tmp_path):
    with running(tmp_path / "w", "--stop-seconds", "1") as server:
        endless = "SELECT max(cityHash64(number)) FROM numbers(1000000000000)"

        def ask():
            with suppress(OSError):
                assert not server.request(endless).ok

        asked = threading.Thread(target=ask)
        asked.start()
        sql = "SELECT count() FROM system.processes WHERE query LIKE '%cityHash%'"
        while server.request(sql).text != "2\n":
            time.sleep(0.02)
        assert server.stop(signal.SIGINT) == 0
        asked.join(30)
        assert not asked.is_alive()
    with running(tmp_path / "w") as again:
        assert again.request("SELECT 1").text == "1\n"


def test_directory_with_odd_characters(tmp_path):
    with running(tmp_path / "a b?c&d%20é") as server:
        assert server.request("SELECT 1").text == "1\n"
    assert (tmp_path / "a b?c&d%20é" / "data").is_dir()


def test_passwords_stay_over_restarts(tmp_path):
    passwords = []
    for _ in range(2):
        with running(tmp_path / "w") as server:
            passwords.append(server.passwords)
            assert server.request("SELECT 1", user="reader").ok
    assert passwords[0] == passwords[1]


def test_production_starts_no_local_server(tmp_path):
    made = Settings(_env_file=None, home=tmp_path, environment="production")
    with (
        pytest.raises(PlatformError, match="STOCK_PLATFORM_CLICKHOUSE_URL"),
        local.ensure_running(made),
    ):
        pass


def test_client_with_an_external_url(server, tmp_path):
    good = {"clickhouse_url": server.url, "clickhouse_password": server.passwords["default"]}
    made = Settings(_env_file=None, home=tmp_path, **good)
    with client.connect(made, run_id="run 7") as warehouse:
        sql = "SELECT Settings['log_comment'] FROM system.processes WHERE query_id = queryID()"
        assert warehouse.command(sql) == "run 7"
    with (
        client.connect(made, user="reader") as warehouse,
        pytest.raises(Exception, match="READONLY"),
    ):
        warehouse.command("CREATE TABLE market.no (a UInt8) ENGINE = Memory")
    wrong = made.model_copy(update={"clickhouse_password": type(made.clickhouse_password)("no")})
    with pytest.raises(PlatformError, match="refuses the password of user 'default'") as caught:
        client.connect(wrong)
    assert "STOCK_PLATFORM_CLICKHOUSE_PASSWORD" in str(caught.value)
    for url, said in (
        (f"http://127.0.0.1:{free_port()}", "can't be reached"),
        ("localhost:8123", "is not a ClickHouse HTTP address"),
        ("http://host:port", "is not a ClickHouse HTTP address"),
        ("ftp://host", "is not a ClickHouse HTTP address"),
    ):
        with pytest.raises(PlatformError, match=said):
            client.connect(made.model_copy(update={"clickhouse_url": url}))


def test_local_wrong_password_names_the_setting(settings):
    with local.ensure_running(settings):
        wrong = settings.model_copy(
            update={"clickhouse_password": type(settings.clickhouse_password)("no")}
        )
        with pytest.raises(PlatformError, match="STOCK_PLATFORM_CLICKHOUSE_PASSWORD"):
            client.connect(wrong)
        client.connect(settings).close()
        with client.connect(settings, user="reader") as warehouse:
            assert warehouse.command("SELECT currentRoles()") == "['reader']"


def test_start_is_fast(tmp_path):
    begun = time.monotonic()
    server = start(tmp_path / "w")
    assert time.monotonic() - begun < 10
    server.stop()
