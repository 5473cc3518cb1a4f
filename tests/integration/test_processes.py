"""Work on shards in processes of this machine."""

import os
import signal
import subprocess
import sys
import time
from logging import Logger
from pathlib import Path

import pytest

from heml.compute.processes import (
    Job,
    ProcessesError,
    in_processes,
    process_count,
    release_processes,
    work_on,
)
from heml.compute.threads import processors
from heml.storage.process_liveness import process_lives
from heml.storage.run_context import RunContext
from heml.storage.store import Store
from heml.taxonomy import builtin

pytestmark = pytest.mark.timeout(120)


def told_by(number):
    """A process and what it was given; odd numbers take longer."""
    time.sleep(0.02 * (number % 2))
    return os.getpid(), number


def test_results_come_in_order_from_other_processes():
    results = list(in_processes(Job("order", lambda: told_by), range(30), 2))
    assert [number for _, number in results] == list(range(30))
    assert os.getpid() not in {pid for pid, _ in results}


def test_a_process_makes_its_function_once(tmp_path):
    def make():
        (tmp_path / str(os.getpid())).touch(exist_ok=False)
        return told_by

    for _ in range(2):
        assert len(list(in_processes(Job(f"once {tmp_path}", make), range(8), 2))) == 8
    assert 1 <= len(list(tmp_path.iterdir())) <= 2


def test_a_job_says_what_another_machine_needs_first(monkeypatch):
    # The environment of the process that gave the job is not that of its workers.
    monkeypatch.delenv("HEML_RAY", raising=False)
    happened = []

    def make():
        happened.append("made")
        return lambda shard: 2 * shard

    job = Job("prepared", make, lambda: happened.append("prepared"))
    assert [work_on(job, n, elsewhere=True) for n in (1, 2)] == [2, 4]
    assert happened == ["prepared", "made"]
    here = Job("here", make, lambda: happened.append("prepared"))
    assert work_on(here, 3) == 6
    assert happened == ["prepared", "made", "made"]


class RunLog(Logger):
    """Like Dagster's: a logger of its own kind, which cannot be pickled."""


def test_a_run_travels_without_its_listener(tmp_path):
    run = RunContext(Store(tmp_path), builtin("portraits"), ("hair_tone",), RunLog("run").info)

    def make():
        def work(number):
            run.progress("nobody listens")
            return run.store.root, run.attributes, run.taxonomy.describe(), number

        return work

    (found,) = in_processes(Job("run", make), [1], 2)
    assert found == (tmp_path, ("hair_tone",), builtin("portraits").describe(), 1)


def test_released_processes_end_at_once():
    found = {pid for pid, _ in in_processes(Job("release", lambda: told_by), range(8), 2)}
    release_processes()
    assert not [pid for pid in found if process_lives(pid)]
    # And others start where they are needed again.
    assert len(list(in_processes(Job("release", lambda: told_by), range(4), 2))) == 4


def test_error_of_a_shard_is_raised():
    def fail(number):
        raise ValueError(f"shard {number} has no mask")

    with pytest.raises(ValueError, match=r"shard \d has no mask"):
        list(in_processes(Job("fail", lambda: fail), range(3), 2))


def test_a_killed_process_is_a_clear_error_and_no_end():
    def die(number):
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(ProcessesError, match="HEML_PROCESSES=1"):
        list(in_processes(Job("die", lambda: die), range(3), 2))
    assert len(list(in_processes(Job("after", lambda: told_by), range(4), 2))) == 4


def test_processes_end_with_a_killed_parent(tmp_path):
    """Nothing goes on, or holds memory, after what started it."""
    script = f"""
import os, time
from pathlib import Path
from heml.compute.processes import Job, in_processes

def make():
    def work(number):
        Path({str(tmp_path)!r}, str(os.getpid())).touch()
        time.sleep(0.1)
        return number
    return work

list(in_processes(Job("long", make), range(10_000), 2))
"""
    parent = subprocess.Popen([sys.executable, "-c", script])
    try:
        assert eventually(lambda: len(list(tmp_path.iterdir())) == 2)
    finally:
        parent.kill()
        parent.wait()
    workers = [int(path.name) for path in tmp_path.iterdir()]
    assert eventually(lambda: not any(map(alive, workers)))


def eventually(holds, seconds=40):
    """Whether something comes to hold in time."""
    for _ in range(10 * seconds):
        if holds():
            return True
        time.sleep(0.1)
    return False


def alive(pid):
    """Whether a process runs; one that has ended may wait for being counted."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_results_that_nobody_wants_are_not_made(tmp_path):
    def mark(number):
        (tmp_path / str(number)).touch()
        time.sleep(0.02)
        return number

    results = in_processes(Job(f"mark {tmp_path}", lambda: mark), range(1000), 2)
    assert next(results) == 0
    results.close()
    assert len(list(tmp_path.iterdir())) < 100


def test_number_of_processes(monkeypatch):
    monkeypatch.delenv("HEML_PROCESSES", raising=False)
    assert process_count() == min(processors(), 8)
    monkeypatch.setenv("HEML_PROCESSES", "3")
    assert process_count() == 3
    for wrong in ("0", "two", "-1", "1.5"):
        monkeypatch.setenv("HEML_PROCESSES", wrong)
        with pytest.raises(ProcessesError, match="whole number"):
            process_count()
