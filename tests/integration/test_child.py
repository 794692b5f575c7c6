"""Tenant code in its child process: what it sees, what it may take, and each way to die."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import psutil
import pytest

from mysimbdp import errors
from mysimbdp.batch.admit import admit
from mysimbdp.batch.ingest import ingest
from mysimbdp.batch.settle import settle

ROWS = 20_000
CSV = "n\n" + "".join(f"{n}\n" for n in range(ROWS))


def start(shop, name="trips.csv", content=CSV):
    shop.land(name, content)
    ((ingestion,),) = admit(shop.desk, "run")
    return ingestion


def fail(shop):
    """Run a file into its failure; return its report."""
    ingestion = start(shop)
    ingest(shop.desk, ingestion)
    settle(shop.desk, "run")
    report = shop.report(ingestion)
    assert report["state"] == "failed"
    return report


def wait_for(condition, seconds=20.0):
    """Await a condition; fail when it does not come."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return found


def children():
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE and "mysimbdp.pipelines.child" in child.cmdline()
    ]


@pytest.mark.parametrize(
    ("code", "cause", "words"),
    [
        (
            "def ingest(b): raise KeyError('fare')",
            "callable_error",
            "KeyError: 'fare' (pipeline.py",
        ),
        ("import nothing_of_it\ndef ingest(b): return b", "not_loadable", "nothing_of_it"),
        ("import os\ndef ingest(b): os._exit(3)", "crash", "exit code 3"),
        ("import os\ndef ingest(b): os._exit(0)", "bad_output", "without the child's closing"),
        (
            "import os, signal\ndef ingest(b): os.kill(os.getpid(), signal.SIGSEGV)",
            "signal",
            "SIGSEGV",
        ),
        ("def ingest(b): return b.slice(1)", "bad_output", "20000 rows and returned 19999"),
        ("def ingest(b): return 'nonsense'", "bad_output", "returned str"),
        ("def ingest(b): x = [bytearray(10**7) for _ in iter(int, 1)]", "memory", "300 MB"),
    ],
)
def test_each_way_to_die_has_its_own_cause_and_leaves_no_row(workshop, code, cause, words):
    shop = workshop(code, pipeline="resources: {memory: 300MB}")

    report = fail(shop)

    assert report["cause"] == cause
    assert words in report["error"]
    assert shop.documents() == []
    assert children() == []


def test_code_that_takes_too_long_is_stopped_at_its_registered_timeout(workshop):
    shop = workshop(
        "import time\ndef ingest(b): time.sleep(600)", pipeline="resources: {timeout: 2s}"
    )

    begin = time.monotonic()
    report = fail(shop)

    assert report["cause"] == "timeout"
    assert "longer than 2 s" in report["error"]
    assert time.monotonic() - begin < 60
    assert children() == []


def test_garbage_on_the_output_pipe_is_bad_output(workshop):
    shop = workshop(
        """
        import os, stat
        def ingest(batch):
            for fd in range(3, 64):
                try:
                    if stat.S_ISFIFO(os.fstat(fd).st_mode):
                        os.write(fd, b"garbage, and more garbage than a header is long")
                except OSError:
                    pass
            return batch
        """
    )

    report = fail(shop)

    assert report["cause"] == "bad_output"
    assert shop.documents() == []


def test_a_lie_about_the_number_of_rows_read_is_found_out(workshop):
    """The closing word is the child's; the database's own count is the platform's."""
    shop = workshop(
        """
        from mysimbdp.pipelines import protocol
        real = protocol.End
        def lying(**facts):
            return real(**(facts | {"rows_read": facts["rows_read"] + 1}))
        protocol.End = lying
        def ingest(batch): return batch
        """
    )

    report = fail(shop)

    assert report["cause"] == "counts_differ"
    assert f"{ROWS + 1} rows were read" in report["error"]
    assert shop.documents() == []


def test_the_child_has_an_empty_environment_two_pipes_and_no_login(workshop):
    os.environ["MYSIMBDP_CANARY"] = "secret"
    shop = workshop(
        """
        import json, os, sys
        def ingest(batch):
            print(json.dumps({
                "environment": dict(os.environ),
                "descriptors": [os.readlink(f"/proc/self/fd/{fd}")
                                for fd in os.listdir("/proc/self/fd")
                                if os.path.exists(f"/proc/self/fd/{fd}")],
                "arguments": open("/proc/self/cmdline").read(),
                "folder": os.getcwd(),
            }))
            return batch
        """
    )
    ingestion = start(shop)
    ingest(shop.desk, ingestion)
    del os.environ["MYSIMBDP_CANARY"]

    seen = shop.desk.log.path.read_text()
    assert "secret" not in seen
    assert "mongodb://" not in seen
    assert '"LANG": "C.UTF-8"' in seen
    assert "socket:" not in seen
    assert "/dev/null" in seen


def test_a_daemon_that_cuts_itself_loose_is_gone_with_its_ingestion(workshop, tmp_path):
    shop = workshop(
        f"""
        import os, time
        def ingest(batch):
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    open({str(tmp_path / "daemon")!r}, "w").write(str(os.getpid()))
                    time.sleep(600)
                os._exit(0)
            while not os.path.exists({str(tmp_path / "daemon")!r}):
                time.sleep(0.01)
            time.sleep(0.1)
            return batch
        """
    )
    ingestion = start(shop)

    ingest(shop.desk, ingestion)

    assert shop.report(ingestion)["state"] == "stored"
    assert not psutil.pid_exists(int((tmp_path / "daemon").read_text()))


HANGS_ONCE = """
import os, time
def ingest(batch):
    with open({marker!r}, "a") as marker:
        marker.write("x")
    if os.path.getsize({marker!r}) == 3:
        time.sleep(600)
    return batch
"""


def test_a_child_that_is_killed_from_outside_is_a_retry_and_every_row_is_there_once(
    workshop, tmp_path
):
    marker = tmp_path / "marker"
    content = "n,text\n" + "".join(f"{n},{'x' * 400}\n" for n in range(40_000))
    shop = workshop(HANGS_ONCE.format(marker=str(marker)))
    ingestion = start(shop, content=content)

    def kill():
        wait_for(lambda: marker.exists() and len(marker.read_text()) >= 3, 60)
        wait_for(lambda: len(shop.documents()) > 0)
        children()[0].send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(errors.IngestionInterruptedError, match="SIGKILL"):
        ingest(shop.desk, ingestion)
    killer.join()
    stored_before = len(shop.documents())
    ingest(shop.desk, ingestion)
    settle(shop.desk, "run")

    report = shop.report(ingestion)
    assert 0 < stored_before < 40_000
    assert report["attempt"] == 2
    assert report["rows_replayed"] == stored_before
    assert sorted(row["n"] for row in shop.documents()) == list(range(40_000))


def test_two_live_copies_of_one_task_store_every_row_once(workshop):
    shop = workshop()
    ingestion = start(shop)

    def copy():
        with contextlib.suppress(errors.LedgerConflictError):
            ingest(shop.desk, ingestion)

    processes = [multiprocessing.get_context("fork").Process(target=copy) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    ingest(shop.desk, ingestion)
    settle(shop.desk, "run")

    assert [process.exitcode for process in processes] == [0, 0]
    assert shop.report(ingestion)["state"] == "loaded"
    assert sorted(row["n"] for row in shop.documents()) == list(range(ROWS))


def test_an_ingestion_of_a_tenant_keeps_to_its_throughput(workshop):
    shop = workshop(max_throughput="1MB/s")
    content = "text\n" + ("x" * 99 + "\n") * 21_000
    ingestion = start(shop, content=content)

    begin = time.monotonic()
    ingest(shop.desk, ingestion)
    seconds = time.monotonic() - begin

    assert seconds >= len(content) / 2**20 * 0.95
    assert shop.report(ingestion)["state"] == "stored"


def test_a_script_keeps_to_the_throughput_too(workshop):
    shop = workshop(
        max_throughput="1MB/s",
        script="""
        import sys
        with open(sys.argv[1], "rb", buffering=0) as file:
            while file.read(10_000):
                pass
        """,
    )
    content = "text\n" + ("x" * 99 + "\n") * 42_000
    ingestion = start(shop, content=content)

    begin = time.monotonic()
    ingest(shop.desk, ingestion)

    assert time.monotonic() - begin >= len(content) / 2**20 * 0.95
    assert shop.report(ingestion)["state"] == "stored"


def test_the_child_dies_with_the_worker(tmp_path):
    """The worker is killed hard: nobody is left who could stop the child."""
    code = tmp_path / "pipeline.py"
    code.write_text("import time\ndef ingest(batch): time.sleep(600)")
    (tmp_path / "rows.csv").write_text("n\n1\n")
    worker = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(
                f"""
                from pathlib import Path
                from mysimbdp.pipelines import protocol, runner, verdict
                request = protocol.Request(
                    folder={str(tmp_path)!r}, entry="pipeline:ingest", is_script=False,
                    file_format="CSV", memory_bytes=2**30, parent=0)
                job = runner.Job(request=request, path=Path({str(tmp_path)!r}, "rows.csv"),
                    environment={{}}, bytes_per_second=10**9,
                    pace=lambda _: 0.0,
                    limits=verdict.Limits(memory_bytes=2**30, timeout_seconds=None))
                runner.run(job, runner.Listener(
                    documents=print, rejects=print, log=print))
                """
            ),
        ]
    )
    child = wait_for(lambda: psutil.Process(worker.pid).children())[0]
    wait_for(lambda: "mysimbdp.pipelines.child" in child.cmdline())

    worker.kill()
    worker.wait()

    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 5)
