"""The usual ways to load a CSV file into MongoDB, each as its documentation shows it.

Each function gets ready and returns the work, which alone is timed. All keep text as it is (00123,
NA) and leave out missing values; beyond that each may store what is cheapest for it, a time as text
for one.
"""
# A way loads its own library only, and before the clock starts: so its memory is its own.
# ruff: noqa: PLC0415

from __future__ import annotations

import csv
import math
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import bson
import pymongo
from bson.raw_bson import RawBSONDocument

from bench.job import Job

Document = dict[str, Any]
Work = Callable[[], None]

ROWS_AT_ONCE = 10_000
#: Enough partitions for both processes of a small machine, also for the default file.
DASK_BLOCK_BYTES = 8 * 2**20
CEILING_THREADS = 2

_PANDAS_OPTIONS: dict[str, Any] = {
    "dtype": {"vendor_id": str, "note": str},
    "keep_default_na": False,
    "na_values": [""],
}


def dask_mongo(job: Job) -> Work:
    """Read with dask.dataframe, drop missing values in a bag of dicts, write with dask-mongo."""
    import dask
    import dask.dataframe
    import dask_mongo as library

    def work() -> None:
        with dask.config.set(scheduler="processes"):
            frame = dask.dataframe.read_csv(
                str(job.path), blocksize=DASK_BLOCK_BYTES, **_PANDAS_OPTIONS
            )
            bag = frame.to_bag(format="dict").map(drop_missing)
            library.to_mongo(bag, job.database, job.collection, connection_kwargs={"host": job.url})

    return work


def pandas_insert_many(job: Job) -> Work:
    """Read with pandas, chunk by chunk, and insert dicts."""
    import pandas as pd

    def work() -> None:
        with pymongo.MongoClient(job.url) as client:
            collection = client[job.database][job.collection]
            for frame in pd.read_csv(job.path, chunksize=ROWS_AT_ONCE, **_PANDAS_OPTIONS):
                collection.insert_many([drop_missing(row) for row in frame.to_dict("records")])

    return work


def csv_insert_many(job: Job) -> Work:
    """Read with the standard library and insert dicts; every value stays text."""

    def work() -> None:
        with pymongo.MongoClient(job.url) as client, job.path.open(newline="") as file:
            collection = client[job.database][job.collection]
            rows = csv.DictReader(file)
            while chunk := list(islice(rows, ROWS_AT_ONCE)):
                collection.insert_many(
                    [{name: text for name, text in row.items() if text} for row in chunk]
                )

    return work


def pymongoarrow(job: Job) -> Work:
    """Read with Arrow and write the table with pymongoarrow."""
    import pyarrow as pa

    # It was built for another pyarrow and says so once a type.
    warnings.filterwarnings("ignore", "pyarrow", RuntimeWarning)
    from pymongoarrow.api import write

    def work() -> None:
        types = {
            "vendor_id": pa.string(),
            "note": pa.string(),
            "pickup_datetime": pa.timestamp("ms"),
            "dropoff_datetime": pa.timestamp("ms"),
        }
        with pymongo.MongoClient(job.url) as client:
            write(client[job.database][job.collection], _read_arrow(job, types), exclude_none=True)

    return work


def raw_ceiling(job: Job) -> Work:
    """Insert documents that are BSON already, unordered, with two threads: nothing is faster."""
    chunks = list(_encoded_chunks(job))

    def work() -> None:
        with (
            pymongo.MongoClient(job.url) as client,
            ThreadPoolExecutor(CEILING_THREADS) as pool,
        ):
            collection = client[job.database][job.collection]
            list(pool.map(lambda chunk: collection.insert_many(chunk, ordered=False), chunks))

    return work


def drop_missing(row: Document) -> Document:
    """Leave out what pandas and dask hold for an empty cell: NaN, and None among texts."""
    return {
        name: value
        for name, value in row.items()
        if value is not None and not (isinstance(value, float) and math.isnan(value))
    }


def _read_arrow(job: Job, types: dict[str, Any]) -> Any:
    from pyarrow import csv as arrow_csv

    options = arrow_csv.ConvertOptions(
        column_types=types, null_values=[""], strings_can_be_null=True
    )
    return arrow_csv.read_csv(job.path, convert_options=options)


def _encoded_chunks(job: Job) -> Iterator[list[RawBSONDocument]]:
    import pyarrow as pa

    table = _read_arrow(job, {"vendor_id": pa.string(), "note": pa.string()})
    for batch in table.to_batches(max_chunksize=ROWS_AT_ONCE):
        yield [
            RawBSONDocument(
                bson.encode({name: value for name, value in row.items() if value is not None})
            )
            for row in batch.to_pylist()
        ]
