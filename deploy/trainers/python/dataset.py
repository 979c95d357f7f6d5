"""A job's rows: Parquet files from the object store `datasets`, as NumPy arrays."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from nats.js import JetStreamContext


async def read(stream: JetStreamContext, job: dict) -> tuple[np.ndarray, np.ndarray]:
    """The labelled rows, oldest first: features float32 [rows, n] in the order of `feature_names`, NaN where missing; labels [rows]."""
    store = await stream.object_store("datasets")
    files = [io.BytesIO((await store.get(name)).data) for name in job["objects"]]
    names = job["feature_names"]
    table = pa.concat_tables([pq.read_table(file, columns=[*names, "label"]) for file in files])
    columns = [_numbers(table.column(name)) for name in names]
    labels = _numbers(table.column("label"))
    known = ~np.isnan(labels)
    return np.column_stack(columns).astype(np.float32)[known], labels[known].astype(np.int64)


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
