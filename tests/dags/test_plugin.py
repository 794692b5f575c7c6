import os
import shutil
import subprocess
import sys
from pathlib import Path

LOADED = """
import sys
from airflow import plugins_manager
found, errors = plugins_manager._get_plugins()
print("PLUGINS", sorted(plugin.name for plugin in found), errors)
print("TIMETABLES", sorted(plugins_manager.get_timetables_plugins()))
print("STRANGER", "stranger" in sys.modules)
"""


def test_airflow_finds_the_timetable_in_the_plugins_folder():
    printed = load(os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"])
    assert "'mysimbdp'" in printed["PLUGINS"]
    assert printed["PLUGINS"].endswith("{}")
    assert "mysimbdp.orchestration.timetable.ArchiveDays" in printed["TIMETABLES"]


def test_another_file_in_the_plugins_folder_is_not_run(tmp_path):
    ours = Path(os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"])
    for name in (".airflowignore", "mysimbdp_plugin.py"):
        shutil.copy(ours / name, tmp_path)
    (tmp_path / "stranger.py").write_text("")
    printed = load(str(tmp_path))
    assert "'mysimbdp'" in printed["PLUGINS"]
    assert printed["STRANGER"] == "False"


def load(folder):
    environment = os.environ | {"AIRFLOW__CORE__PLUGINS_FOLDER": folder}
    command = [sys.executable, "-c", LOADED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return dict(
        line.split(" ", 1)
        for line in done.stdout.splitlines()
        if line.startswith(("PLUGINS", "TIMETABLES", "STRANGER"))
    )
