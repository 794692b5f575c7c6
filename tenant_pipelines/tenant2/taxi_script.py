"""Taxi trips by a script of the tenant's own: the platform gives it a file and a database.

    MONGO_URL=mongodb://… python taxi_script.py FILE

The script writes by itself, so it must bear being run again: the trip's own id is the `_id`, and
each write replaces the document of that id. A second run then changes nothing.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import pandas as pd
from pymongo import MongoClient, ReplaceOne

COLLECTION = "taxi_scripted"
ROWS_AT_ONCE = 10_000
#: Without these, 00123 would become 123 and, where a cell is empty, 2 passengers 2.0.
TYPES = {"vendor_id": str, "note": str, "passenger_count": "Int64", "rate_code": "Int64"}

log = logging.getLogger("taxi_script")


def main(path: str) -> None:
    """Store every trip of a CSV file, once, and tell how far it got."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    with MongoClient(os.environ["MONGO_URL"]) as client:
        collection = client.get_default_database()[COLLECTION]
        stored = 0
        for frame in pd.read_csv(
            path,
            chunksize=ROWS_AT_ONCE,
            dtype=TYPES,
            keep_default_na=False,
            na_values=[""],
            parse_dates=["pickup_datetime", "dropoff_datetime"],
        ):
            trips = [_document(row) for row in frame.to_dict("records")]
            collection.bulk_write(
                [ReplaceOne({"_id": trip["_id"]}, trip, upsert=True) for trip in trips],
                ordered=False,
            )
            stored += len(trips)
            log.info("%d trips stored", stored)


def _document(row: dict[str, Any]) -> dict[str, Any]:
    document = {name: value for name, value in row.items() if pd.notna(value)}
    return {"_id": document.pop("trip_id"), **document}


if __name__ == "__main__":
    main(sys.argv[1])
