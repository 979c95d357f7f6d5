"""Says as JSON what pyarrow finds in a Parquet file: columns and types, row groups, null counts, and the values of every 997th row and the last."""

import json
import sys

import pyarrow
import pyarrow.parquet

file = pyarrow.parquet.ParquetFile(sys.argv[1])
table = file.read()
table.validate(full=True)
metadata = file.metadata
groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]


def counted_nulls(column: int) -> int:
    """As the file's own statistics say, without reading a value."""
    return sum(group.column(column).statistics.null_count for group in groups)


def plain(value: object) -> object:
    return value.isoformat(timespec="milliseconds") if hasattr(value, "isoformat") else value


numbers = [*range(0, table.num_rows, 997), *range(table.num_rows)[-1:]]
shown = table.take(pyarrow.array(numbers, pyarrow.int64())).to_pylist()
print(
    json.dumps(
        {
            "columns": [[field.name, str(field.type), field.nullable] for field in table.schema],
            "rowGroups": [group.num_rows for group in groups],
            "nulls": {name: table.column(name).null_count for name in table.column_names},
            "nullsInStatistics": {name: counted_nulls(index) for index, name in enumerate(table.column_names)},
            "rows": [{name: plain(value) for name, value in row.items()} for row in shown],
        }
    )
)
