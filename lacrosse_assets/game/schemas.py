"""Spark schemas whose columns carry a description: in the field's metadata, under Spark's own key for it, `comment`."""

from datetime import date

from pyspark.sql.types import DataType, DateType, LongType, StringType, StructField, StructType

from lacrosse_assets.game.tables import Column

_COMMENT = "comment"
# Integers of 64 bits: a school's columns may be BIGINT.
_TYPES: dict[type, DataType] = {int: LongType(), str: StringType(), date: DateType()}


def column(name: str, data_type: DataType, description: str, *, nullable: bool = True) -> StructField:
    """A column with its description."""
    return StructField(name, data_type, nullable, {_COMMENT: description})


def description(field: StructField) -> str:
    """The description of a column.

    Raises:
        KeyError: the column has none.
    """
    return str(field.metadata[_COMMENT])


def redescribed(schema: StructType, **descriptions: str) -> StructType:
    """The same schema, with other descriptions for the columns that are named."""
    return StructType(
        [
            column(
                field.name,
                field.dataType,
                descriptions.get(field.name) or description(field),
                nullable=field.nullable,
            )
            for field in schema.fields
        ]
    )


def table(columns: tuple[Column, ...]) -> StructType:
    """The schema of a reference table. Only `id` is declared NOT NULL: a school's own tables may allow more."""
    return StructType(
        [
            column(
                each.name,
                _TYPES[each.type],
                each.description,
                nullable=each.name != "id",
            )
            for each in columns
        ]
    )
