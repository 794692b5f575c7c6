"""What Airflow loads of the platform: the timetable that makes backfills possible.

Airflow runs every file of this folder in every one of its processes, under its bare name. So this
one stays alone; everything else is in the installed package.
"""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from mysimbdp.orchestration.timetable import ArchiveDays


class MysimbdpPlugin(AirflowPlugin):
    """Register the platform with Airflow."""

    name = "mysimbdp"
    timetables = [ArchiveDays]  # noqa: RUF012 - Airflow declares it so
