"""The one command: what a stranger meets, on a clone with stand-ins for the product."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from twinby.embedded import State, process, running_postgres, running_valkey
from twinby.embedded.ports import free_port

pytestmark = pytest.mark.services
ROOT = Path(__file__).resolve().parents[2]
IS_ROOT = os.geteuid() == 0
NO_SERVICES = {
    "DATABASE_URL": "postgres://nobody@127.0.0.1:9/nothing",
    "REDIS_URL": "redis://127.0.0.1:9",
}

MANAGE = """\
import json, os, sys, time
command, *rest = sys.argv[1:]
if command in ("environment", "exportopenapi"):
    print(json.dumps(dict(os.environ)))
elif command == "exit":
    sys.exit(int(rest[0]))
elif command == "demo":
    print("ten people", os.environ["TWINBY_URL"], *rest)
elif command == "migrate":
    if os.environ["DATABASE_URL"].endswith("/broken"):
        sys.exit("relation is missing")
else:
    with open(os.path.join(os.environ["TWINBY_STATE"], command), "a") as log:
        log.write(f"{os.getpid()}\\n")
    time.sleep(1000)
"""
WSGI = """\
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"alive"]
"""


@dataclass(frozen=True)
class Clone:
    """A clone of the project, in a folder of its own, and how to run it."""

    root: Path

    @property
    def state(self) -> State:
        return State(self.root / ".twinby")

    def start(
        self, *arguments: str, python: str = sys.executable, **environment: str
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [python, str(self.root / "run"), *arguments],
            cwd="/",
            env=bare_environment() | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(
        self, *arguments: str, python: str = sys.executable, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        with self.start(*arguments, python=python, **environment) as started:
            out, errors = started.communicate(timeout=100)
        return subprocess.CompletedProcess(arguments, started.returncode, out, errors)

    def pids(self, program: str) -> list[int]:
        """The processes that a stand-in has had so far."""
        file = self.root / ".twinby" / program
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def last_pid(self, program: str) -> int:
        return (self.pids(program) or [0])[-1]

    def nothing_runs(self) -> bool:
        return not running_postgres(self.state) and not running_valkey(self.state)


def bare_environment() -> dict[str, str]:
    """Ours, without what tells of a database or of other clones."""
    ours = ("TWINBY_", "DATABASE_", "REDIS_", "PIP_", "PYTHON", "DJANGO_", "COV")
    environment = os.environ.items()
    return {name: text for name, text in environment if not name.startswith(ours)}


@pytest.fixture
def bare_clone(tmp_path: Path) -> Iterator[Clone]:
    """A clone with nothing installed, and nothing to install."""
    clone = make_clone(tmp_path / "clone")
    yield clone
    forget(clone)


@pytest.fixture
def clone(bare_clone: Clone) -> Clone:
    """A clone that shares the packages of the Python that runs the tests."""
    share_packages(bare_clone)
    return bare_clone


def make_clone(root: Path) -> Clone:
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "twinby/embedded", root / "twinby/embedded", ignore=ignored)
    shutil.copy(ROOT / "run", root / "run")
    (root / "twinby/__init__.py").touch()
    (root / "twinby/wsgi.py").write_text(WSGI)
    (root / "manage.py").write_text(MANAGE)
    (root / "bench").mkdir()
    (root / "bench/speed.py").write_text("import sys; print(sys.argv[1:])")
    (root / "requirements").mkdir()
    for name in ("base", "dev", "vlm"):
        (root / f"requirements/{name}.txt").touch()
    return Clone(root)


def share_packages(clone: Clone) -> None:
    venv = clone.root / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").symlink_to(Path(sys.executable).resolve())
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", venv)
    (venv / "lib").symlink_to(Path(sys.prefix) / "lib")
    base = hashlib.sha256((clone.root / "requirements/base.txt").read_bytes())
    version = "{}.{}".format(*sys.version_info)
    stamp = {"home": str(venv), "version": version, "base": base.hexdigest()}
    (venv / "stamp.json").write_text(json.dumps(stamp))


@dataclass(frozen=True)
class Toy:
    """A package with nothing in it, the only one that pip can find, in two versions."""

    wheel: Path

    @property
    def index(self) -> dict[str, str]:
        return NO_SERVICES | {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheel.parent),
            "PIP_CONFIG_FILE": os.devnull,
        }

    def require(self, clone: Clone, name: str = "base", *, digest: str = "") -> None:
        right = hashlib.sha256(self.wheel.read_bytes()).hexdigest()
        line = f"twinbytoy==1.0 --hash=sha256:{digest or right}\n"
        (clone.root / f"requirements/{name}.txt").write_text(line)


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    make_wheel(tmp_path / "wheels", "2.0")
    return Toy(make_wheel(tmp_path / "wheels", "1.0"))


def make_wheel(folder: Path, version: str) -> Path:
    name = f"twinbytoy-{version}"
    wheel = folder / f"{name}-py3-none-any.whl"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("twinbytoy.py", "")
        about = f"Metadata-Version: 2.1\nName: twinbytoy\nVersion: {version}\n"
        archive.writestr(f"{name}.dist-info/METADATA", about)
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{name}.dist-info/WHEEL", tags)
        archive.writestr(f"{name}.dist-info/RECORD", "")
    return wheel


def forget(clone: Clone) -> None:
    """Ends what a failed test has left, and root's data outside the clone."""
    if (clone.root / ".twinby").exists():
        clone.run("stop")
        shutil.rmtree(
            clone.state.outside / clone.state.secret("instance"), ignore_errors=True
        )


def wait_for(condition: Callable[[], object], *, seconds: float = 40) -> None:
    assert process.wait_until(lambda: bool(condition()), seconds=seconds)


def is_served(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310
            return bool(answer.read() == b"alive")
    except OSError:
        return False


def one_sentence(answer: subprocess.CompletedProcess[str]) -> str:
    """The last line of stderr, of an answer that failed as a person should see it."""
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert "Traceback" not in answer.stderr
    last = answer.stderr.splitlines()[-1]
    assert last.startswith("twinby: ")
    assert last.endswith(".")
    return last


# A stranger's machine ---------------------------------------------------------------


def test_help_needs_nothing_and_leaves_nothing(bare_clone: Clone) -> None:
    answer = bare_clone.run("--help")
    assert answer.returncode == 0
    for command in ("demo", "serve", "worker", "manage", "bench", "test", "stop"):
        assert f"./run {command}" in answer.stdout
    assert not (bare_clone.root / ".venv").exists()
    assert not (bare_clone.root / ".twinby").exists()


def test_an_unknown_command_is_named(bare_clone: Clone) -> None:
    answer = bare_clone.run("dmeo")
    assert answer.returncode == 2
    assert "no command dmeo" in answer.stderr


def test_an_old_python_is_told_which_one_is_needed(bare_clone: Clone) -> None:
    script = str(bare_clone.root / "run")
    pretend = (
        "import sys, runpy; sys.version_info = (3, 10, 13, 'final', 0);"
        f"sys.argv = ['./run', 'demo']; runpy.run_path({script!r})"
    )
    answer = subprocess.run(
        [sys.executable, "-c", pretend], capture_output=True, text=True, check=False
    )
    assert "Python 3.11 or newer is needed, and this is 3.10" in one_sentence(answer)


def test_an_old_python_can_read_the_script() -> None:
    ast.parse((ROOT / "run").read_text(), feature_version=(3, 4))


def test_a_python_without_venv_is_told_what_to_install(
    bare_clone: Clone, tmp_path: Path
) -> None:
    (tmp_path / "ensurepip.py").write_text("raise ImportError")
    answer = bare_clone.run("manage", PYTHONPATH=str(tmp_path))
    assert "apt install python3-venv" in one_sentence(answer)


def test_no_network_is_said_and_the_next_run_goes_on(
    bare_clone: Clone, toy: Toy
) -> None:
    toy.require(bare_clone)
    offline = {"PIP_INDEX_URL": "http://127.0.0.1:9", "PIP_CONFIG_FILE": os.devnull}
    answer = bare_clone.run("manage", "exit", "0", PIP_RETRIES="0", **offline)
    assert "No package index can be reached" in one_sentence(answer)
    assert bare_clone.run("manage", "exit", "0", **toy.index).returncode == 0


@pytest.mark.skipif(not IS_ROOT, reason="only root can mount a small disk")
def test_a_full_disk_is_said(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(small)]
    subprocess.run(mount, check=True)
    try:
        answer = make_clone(small / "clone").run("manage", "exit", "0")
    finally:
        subprocess.run(["umount", small], check=True)
    assert "The disk is full" in one_sentence(answer)


# The environment --------------------------------------------------------------------


def test_it_installs_what_has_changed_and_nothing_else(
    bare_clone: Clone, toy: Toy
) -> None:
    toy.require(bare_clone)
    first = bare_clone.run("manage", "exit", "0", **toy.index)
    second = bare_clone.run("manage", "exit", "0", **toy.index)
    assert "Installing 1 packages" in first.stderr
    assert second.stderr == ""
    requirements = bare_clone.root / "requirements/base.txt"
    requirements.write_text(requirements.read_text() + "# changed\n")
    third = bare_clone.run("manage", "exit", "0", **toy.index)
    assert "Making" not in third.stderr
    assert "Installing 1 packages" in third.stderr


def test_a_package_that_was_not_locked_is_refused(bare_clone: Clone, toy: Toy) -> None:
    toy.require(bare_clone, digest="0" * 64)
    answer = bare_clone.run("manage", "exit", "0", **toy.index)
    assert "A package is not the one that was locked" in one_sentence(answer)


def test_the_models_never_move_what_was_locked(bare_clone: Clone, toy: Toy) -> None:
    toy.require(bare_clone, "dev")
    (bare_clone.root / "requirements/vlm.txt").write_text("twinbytoy>=1.1\n")
    answer = bare_clone.run("test", **toy.index)
    assert "The packages cannot be installed" in one_sentence(answer)
    assert list(bare_clone.root.glob(".venv/lib/*/site-packages/twinbytoy-1.0*"))


def test_an_interrupted_installation_is_done_again(bare_clone: Clone, toy: Toy) -> None:
    toy.require(bare_clone)
    with socket.socket() as silent:  # an index that never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        index = {"PIP_INDEX_URL": url, "PIP_CONFIG_FILE": os.devnull}
        with bare_clone.start("manage", "exit", "0", **index) as started:
            silent.settimeout(60)
            connection, _ = silent.accept()
            os.killpg(started.pid, signal.SIGINT)
            _, errors = started.communicate(timeout=30)
            connection.close()
    assert started.returncode == 130
    assert errors.endswith("twinby: Stopped\n")
    again = bare_clone.run("manage", "exit", "0", **toy.index)
    assert again.returncode == 0
    assert "Making" in again.stderr


def test_a_half_made_environment_is_made_anew(bare_clone: Clone, toy: Toy) -> None:
    (bare_clone.root / ".venv/bin").mkdir(parents=True)
    (bare_clone.root / ".venv/bin/python").touch()
    assert bare_clone.run("manage", "exit", "0", **toy.index).returncode == 0


def test_an_environment_made_by_hand_is_kept(bare_clone: Clone, toy: Toy) -> None:
    venv = bare_clone.root / ".venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    (venv / "mine").touch()
    assert bare_clone.run("manage", "exit", "0", **toy.index).returncode == 0
    assert (venv / "mine").exists()


def test_an_environment_of_another_place_is_made_anew(clone: Clone, toy: Toy) -> None:
    moved = clone.root.with_name("moved")
    clone.root.rename(moved)
    answer = Clone(moved).run("manage", "exit", "0", **toy.index)
    assert answer.returncode == 0
    assert "Making" in answer.stderr
    moved.rename(clone.root)


def test_two_commands_at_once_install_one_after_the_other(
    bare_clone: Clone, toy: Toy
) -> None:
    toy.require(bare_clone)
    pair = [bare_clone.start("manage", "exit", "0", **toy.index) for _ in range(2)]
    said = [command.communicate(timeout=100)[1] for command in pair]
    assert [command.returncode for command in pair] == [0, 0]
    assert sum("Installing" in errors for errors in said) == 1


# Commands ---------------------------------------------------------------------------


def environment_of(
    clone: Clone, command: str = "environment", **given: str
) -> dict[str, str]:
    answer = clone.run("manage", command, **given)
    assert answer.returncode == 0, answer.stderr
    return dict(json.loads(answer.stdout))


def test_manage_gives_django_all_that_it_needs(clone: Clone) -> None:
    first, second = environment_of(clone), environment_of(clone)
    assert first["DATABASE_URL"].startswith("postgresql://twinby:")
    assert first["REDIS_URL"].startswith("redis://:")
    assert len(first["TWINBY_SECRET_KEY"]) >= 50
    assert first["TWINBY_MEDIA"] == str(clone.root / ".twinby/media")
    kept = ("DATABASE_URL", "REDIS_URL", "TWINBY_SECRET_KEY")
    assert [first[name] for name in kept] == [second[name] for name in kept]
    assert clone.nothing_runs()


def test_a_database_of_ones_own_is_enough_for_manage(clone: Clone) -> None:
    own = NO_SERVICES["DATABASE_URL"]
    environment = environment_of(clone, DATABASE_URL=own)
    assert environment["DATABASE_URL"] == own
    assert "REDIS_URL" not in environment
    assert not (clone.root / ".twinby/postgres.port").exists()
    assert not (clone.root / ".twinby/valkey.port").exists()


def test_a_database_whose_address_lies_in_a_file_is_enough_as_well(
    clone: Clone, tmp_path: Path
) -> None:
    secret = tmp_path / "database_url"
    secret.write_text(NO_SERVICES["DATABASE_URL"])
    environment = environment_of(clone, DATABASE_URL_FILE=str(secret))
    assert "DATABASE_URL" not in environment
    assert not (clone.root / ".twinby/valkey.port").exists()


def test_a_command_that_needs_no_service_starts_none(clone: Clone) -> None:
    environment = environment_of(clone, "exportopenapi")
    assert environment["TWINBY_MEDIA"] == str(clone.root / ".twinby/media")
    assert not {"DATABASE_URL", "REDIS_URL"} & set(environment)
    assert not (clone.root / ".twinby/postgres.port").exists()
    assert not (clone.root / ".twinby/valkey.port").exists()


def test_settings_come_from_a_file_as_well(clone: Clone) -> None:
    lines = ["# ours", "TWINBY_TEST_WORD='from the file'", "TWINBY_TEST_OTHER=file"]
    (clone.root / ".env").write_text("\n".join(lines))
    environment = environment_of(clone, TWINBY_TEST_OTHER="caller", **NO_SERVICES)
    assert environment["TWINBY_TEST_WORD"] == "from the file"
    assert environment["TWINBY_TEST_OTHER"] == "caller"


def test_the_exit_status_is_the_commands_own(clone: Clone) -> None:
    assert clone.run("manage", "exit", "7", **NO_SERVICES).returncode == 7


def test_a_benchmarks_result_is_all_there_is_on_stdout(clone: Clone) -> None:
    answer = clone.run("bench", "speed", "--rows", "3", **NO_SERVICES)
    assert answer.stdout == "['--rows', '3']\n"
    assert answer.stderr


def test_an_unknown_benchmark_is_told_which_there_are(clone: Clone) -> None:
    assert "There is speed." in one_sentence(clone.run("bench", "spede"))


def test_a_database_that_cannot_be_migrated_is_said(clone: Clone) -> None:
    broken = NO_SERVICES | {"DATABASE_URL": "postgres://nobody@127.0.0.1:9/broken"}
    answer = clone.run("bench", "speed", **broken)
    assert "(relation is missing)" in one_sentence(answer)


def test_django_on_its_own_says_who_starts_the_database() -> None:
    answer = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "check"],
        env=bare_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    assert answer.stderr.startswith("Use ./run manage")
    assert "Traceback" not in answer.stderr


def test_a_demo_that_ends_leaves_nothing_running(clone: Clone) -> None:
    port = str(free_port())
    answer = clone.run("demo", "--once", "--port", port)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == f"ten people http://127.0.0.1:{port} --once\n"
    assert clone.nothing_runs()
    assert not is_served(f"http://127.0.0.1:{port}")
    assert not any(process.command_line(pid) for pid in clone.pids("rundramatiq"))


def test_a_taken_port_is_said(clone: Clone) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        asked = one_sentence(clone.run("serve", "--port", port))
        told = one_sentence(clone.run("serve", TWINBY_PORT=port))
    assert f"Port {port} is taken" in asked
    assert f"Port {port} is taken" in told


# Serving ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Site:
    """A clone that serves."""

    clone: Clone
    url: str
    run: subprocess.Popen[str]

    def worker(self) -> int:
        """The number of the worker that runs now, once one does."""
        wait_for(lambda: process.command_line(self.clone.last_pid("rundramatiq")))
        return self.clone.last_pid("rundramatiq")


@pytest.fixture
def site(clone: Clone) -> Iterator[Site]:
    port = str(free_port())
    with clone.start("serve", "--port", port) as started:
        site = Site(clone, f"http://127.0.0.1:{port}", started)
        try:
            wait_for(lambda: is_served(site.url) or started.poll() is not None)
            site.worker()
            yield site
        finally:
            started.kill()


def test_ctrl_c_ends_all_of_it(site: Site) -> None:
    worker = site.worker()
    os.killpg(site.run.pid, signal.SIGINT)
    out, errors = site.run.communicate(timeout=60)
    assert site.run.returncode == 130
    assert out == ""
    assert "Traceback" not in errors
    assert not process.command_line(worker)
    assert not is_served(site.url)
    assert site.clone.nothing_runs()


def test_stop_ends_all_of_it(site: Site) -> None:
    answer = site.clone.run("stop")
    assert "Stopped serve" in answer.stderr
    assert site.run.wait(timeout=10) == 130
    assert site.clone.nothing_runs()
    assert "Nothing was running" in site.clone.run("stop").stderr


def test_a_killed_worker_is_started_again(site: Site) -> None:
    before = site.worker()
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: site.worker() != before, seconds=10)


def test_killed_services_come_back(site: Site) -> None:
    url = running_postgres(site.clone.state)
    for pid in service_pids(site.clone):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not running_postgres(site.clone.state), seconds=5)
    wait_for(lambda: running_postgres(site.clone.state) == url)
    wait_for(lambda: running_valkey(site.clone.state))
    assert is_served(site.url)


def service_pids(clone: Clone) -> list[int]:
    valkey = int((clone.root / ".twinby/valkey/valkey.pid").read_text())
    own = clone.root / ".twinby/postgres"
    root = clone.state.outside / clone.state.secret("instance")
    lock = (root if IS_ROOT else own) / "data/postmaster.pid"
    return [valkey, int(lock.read_text().splitlines()[0])]


def test_after_a_kill_the_next_one_serves_at_the_same_place(site: Site) -> None:
    worker = site.worker()
    site.run.kill()
    site.run.communicate()
    wait_for(lambda: not process.command_line(worker) and not is_served(site.url))
    port = site.url.rpartition(":")[2]
    with site.clone.start("serve", "--port", port) as again:
        wait_for(lambda: is_served(site.url))
        again.terminate()
        again.communicate(timeout=60)
    assert site.clone.nothing_runs()


def test_a_second_server_of_a_clone_is_told_where_the_first_is(site: Site) -> None:
    assert f"already, at {site.url}" in one_sentence(site.clone.run("serve"))


def test_a_demo_uses_the_server_that_is_there_and_leaves_it(site: Site) -> None:
    answer = site.clone.run("demo", "--once")
    assert answer.stdout == f"ten people {site.url} --once\n"
    assert is_served(site.url)
    assert running_postgres(site.clone.state)


def test_two_clones_that_start_at_once_do_not_share_a_port(
    clone: Clone, tmp_path: Path
) -> None:
    other = make_clone(tmp_path / "other")
    share_packages(other)
    try:
        pair = [each.start("demo", "--once") for each in (clone, other)]
        said = [command.communicate(timeout=100)[0] for command in pair]
    finally:
        forget(other)
    assert [command.returncode for command in pair] == [0, 0]
    assert said[0] != said[1]


def test_a_second_clone_serves_beside_the_first(site: Site, tmp_path: Path) -> None:
    other = make_clone(tmp_path / "other")
    share_packages(other)
    try:
        answer = other.run("demo", "--once")
        assert answer.returncode == 0, answer.stderr
        assert site.url not in answer.stdout
        assert is_served(site.url)
    finally:
        forget(other)
