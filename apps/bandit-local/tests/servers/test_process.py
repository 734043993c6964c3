import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bandit_local.servers.folder import command_line
from bandit_local.servers.process import ChildProcess, ServerError

type StartPython = Callable[..., ChildProcess]
type Eventually = Callable[[Callable[[], object]], None]

SLEEP = "import time; print('up'); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); time.sleep(600)"
OWNER = """
import sys, time
from pathlib import Path
from bandit_local.servers.process import ChildProcess
child = ChildProcess([sys.executable, "-c", "import time; time.sleep(600)"], Path(sys.argv[1]))
print(child.pid)
time.sleep(600)
"""


def is_up(child: ChildProcess) -> bool:
    return bool(child.log_tail())


def test_stop_asks_with_the_stop_signal(start_python: StartPython, eventually: Eventually) -> None:
    child = start_python(SLEEP)
    eventually(lambda: is_up(child))
    assert child.stop() == -signal.SIGTERM
    assert not child.running


def test_stop_ends_a_child_that_does_not_listen(start_python: StartPython, eventually: Eventually) -> None:
    child = start_python(STUBBORN)
    eventually(lambda: is_up(child))
    assert child.stop(timeout=0.2) == -signal.SIGKILL


def test_a_child_hears_the_stop_signal_that_its_parent_ignores(
    start_python: StartPython, eventually: Eventually
) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        child = start_python(SLEEP)
        eventually(lambda: is_up(child))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert child.stop() == -signal.SIGTERM


def test_a_child_does_not_hear_the_terminal(start_python: StartPython) -> None:
    """Ctrl-C goes to the foreground process group; a child leads a session of its own."""
    child = start_python(SLEEP)
    assert os.getsid(child.pid) == child.pid


def test_a_child_outlives_the_thread_that_started_it(start_python: StartPython, eventually: Eventually) -> None:
    children: list[ChildProcess] = []
    thread = threading.Thread(target=lambda: children.append(start_python(SLEEP)))
    thread.start()
    thread.join()
    eventually(lambda: is_up(children[0]))
    time.sleep(0.1)
    assert children[0].running


@pytest.mark.only_for("linux")  # which tells a child of its parent's death
def test_a_child_dies_with_a_parent_that_is_killed(
    start_python: StartPython, eventually: Eventually, tmp_path: Path
) -> None:
    owner = start_python(OWNER, str(tmp_path / "grandchild.log"))
    eventually(lambda: is_up(owner))
    grandchild = int(owner.log_tail())
    assert command_line(grandchild)
    owner.kill()
    eventually(lambda: not command_line(grandchild))


def test_wait_gives_up_with_a_sentence(start_python: StartPython) -> None:
    with pytest.raises(ServerError, match=r"did not finish within 0\.05 s"):
        start_python(SLEEP).wait(0.05)


def test_last_words_are_the_last_line_of_this_child_not_of_an_earlier_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("an earlier life\n")
    silent = ChildProcess(["/bin/sh", "-c", "true"], log)
    assert silent.wait(5.0) == 0
    assert silent.last_words() == "it wrote nothing"
    talkative = ChildProcess(["/bin/sh", "-c", "echo one; echo two >&2; exit 3"], log)
    assert talkative.wait(5.0) == 3
    assert talkative.last_words() == "two"


def test_the_environment_is_inherited_and_extended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INHERITED", "old")
    command = ["/bin/sh", "-c", 'echo "$INHERITED $ADDED"']
    child = ChildProcess(command, tmp_path / "log", environment={"ADDED": "new"})
    child.wait(5.0)
    assert child.last_words() == "old new"
