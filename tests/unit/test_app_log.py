from mysimbdp.streaming import app_log, process


def test_what_an_instance_prints_cannot_forge_a_line(tmp_path):
    log = app_log.in_folder(tmp_path, "tenant1", "weather")
    log.pass_on("instance 0 (7)", [b"\x1b[31mred\rEnd", b"\xff"])
    lines = log.path.read_text().splitlines()
    assert log.path == tmp_path / "streams" / "tenant1.weather.log"
    assert len(lines) == 2
    assert lines[0].endswith(r"instance 0 (7) \x1b[31mred\rEnd")


def test_the_log_of_an_app_never_grows_beyond_two_files(tmp_path, monkeypatch):
    monkeypatch.setattr(app_log, "MAX_FILE_BYTES", 1000)
    log = app_log.in_folder(tmp_path, "tenant1", "weather")
    for number in range(200):
        log.note(f"note {number}")
    sizes = {path.name: path.stat().st_size for path in log.path.parent.iterdir()}
    assert sizes.keys() == {"tenant1.weather.log", "tenant1.weather.log.1"}
    assert max(sizes.values()) < 1200
    assert "note 199" in log.path.read_text()


def test_an_instance_that_prints_too_fast_is_cut_off(tmp_path):
    log = app_log.in_folder(tmp_path, "tenant1", "weather")
    for _ in range(100):
        log.pass_on("instance 0 (7)", [b"x" * 10_000] * 10)
    assert log.path.stat().st_size <= 4 * app_log.MAX_BYTES_PER_SECOND


def test_a_log_that_cannot_be_written_hurts_nobody(tmp_path):
    (tmp_path / "streams").write_text("no folder")
    app_log.in_folder(tmp_path, "tenant1", "weather").note("x")


def test_an_instance_finds_no_login_of_the_platform_in_its_environment(tmp_path, monkeypatch):
    given = {
        "PATH": "/bin",
        "MYSIMBDP_STATE": str(tmp_path / "old"),
        "MYSIMBDP_KAFKA_PORT": "9",
        "MONGO_URL": "mongodb://root:pw@host/",
        "KAFKA_LOGIN": "/file",
        "AIRFLOW__CORE__FERNET_KEY": "key",
    }
    places = process.Settings(
        home=tmp_path,
        state=tmp_path / "var",
        mongo_url=None,
        mongo_port=1,
        airflow_port=1,
        smtp_port=1,
        airflow_url="",
    )
    assert process.environment(places, given) == {
        "LANG": "C.UTF-8",
        "PATH": "/bin",
        "MYSIMBDP_KAFKA_PORT": "9",
        "MYSIMBDP_HOME": str(tmp_path),
        "MYSIMBDP_STATE": str(tmp_path / "var"),
    }
