"""Daily weather, as a pandas data frame: for the rules that are easiest to say in pandas."""

from __future__ import annotations

import pandas as pd


def ingest(frame: pd.DataFrame) -> pd.DataFrame:
    """Type the date, group the temperatures under one name, and tell wet days from dry ones."""
    return pd.DataFrame(
        {
            "date": pd.to_datetime(frame["date"], format="%Y/%m/%d"),
            "weather": frame["weather"].str.strip().str.lower(),
            "temperature_min": frame["temp_min"],
            "temperature_max": frame["temp_max"],
            "temperature_range": (frame["temp_max"] - frame["temp_min"]).round(1),
            "precipitation_mm": frame["precipitation"],
            "wet": frame["precipitation"] > 0,
            "wind": frame["wind"],
        }
    )
