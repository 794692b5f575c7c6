import re
import threading

from mysimbdp.reporting import tenant_log

LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR) tenant2\.taxi 2026-1 (.*)"
)


def test_a_line_says_when_how_bad_which_pipeline_which_ingestion_and_what(tmp_path):
    log = tenant_log.TenantLog(tmp_path / "tenants", "tenant2")
    log.write("INFO", "taxi", "2026-1", "taxi-1.csv loaded: 10000 rows stored, 3 rejected")
    (line,) = (tmp_path / "tenants" / "tenant2.log").read_text().splitlines()
    assert LINE.fullmatch(line).groups() == (
        "INFO",
        "taxi-1.csv loaded: 10000 rows stored, 3 rejected",
    )


def test_a_file_name_cannot_forge_a_line_or_a_terminal_command(tmp_path):
    log = tenant_log.TenantLog(tmp_path, "tenant2")
    log.write("ERROR", "taxi", "2026-1", "a\n2026 INFO b\r\x1b[2J\x85\u2028\u202e\udcff.csv, é ok")
    text = log.path.read_text()
    assert text.splitlines() == [text.removesuffix("\n")]
    message = LINE.fullmatch(text.removesuffix("\n"))[2]
    assert message == r"a\n2026 INFO b\r\x1b[2J\x85\u2028\u202e\udcff.csv, é ok"


def test_every_tenant_has_a_log_of_its_own(tmp_path):
    for tenant in ("tenant1", "tenant2"):
        tenant_log.in_folder(tmp_path, tenant).write("INFO", "taxi", "1", f"hello {tenant}")
    text = (tmp_path / "tenants" / "tenant1.log").read_text()
    assert "hello tenant1" in text
    assert "tenant2" not in text


def test_lines_written_at_once_stay_whole(tmp_path):
    log = tenant_log.TenantLog(tmp_path, "tenant2")
    message = "x" * 20_000

    def write_some():
        for _ in range(20):
            log.write("INFO", "taxi", "2026-1", message)

    writers = [threading.Thread(target=write_some) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    lines = log.path.read_text().splitlines()
    assert len(lines) == 80
    assert {LINE.fullmatch(line)[2] for line in lines} == {message}
