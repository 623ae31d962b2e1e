"""Rows of what TensorFlow Datasets has stored, in one fixed order."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def stored_count(builder: Any, split: str) -> int | None:
    """Return how many records a stored split has; `None`: it is not prepared."""
    splits = builder.info.splits
    return int(splits[split].num_examples) if split in splits else None


def stored_records(
    builder: Any, split: str, rows: tuple[int, int] | None = None, *, encoded: bool = False
) -> tf.data.Dataset:
    """Return a stored split, or some rows of it, shard after shard.

    By default TensorFlow Datasets mixes the records of 16 shards, so that no slice of a split is a
    slice of what it returns. Its cache is off: it would keep the whole split in memory.

    Args:
        builder: of a prepared dataset.
        split: its name there; several, joined by `+`, if no rows are asked for.
        rows: the first, and one more than the last; past the end there are none.
        encoded: leave the pictures of the feature `image` as they are stored.
    """
    import tensorflow_datasets as tfds

    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    decoders = {"image": tfds.decode.SkipDecoding()} if encoded else None

    def read(instruction: Any) -> tf.data.Dataset:
        return builder.as_dataset(
            split=instruction, shuffle_files=False, read_config=config, decoders=decoders
        )

    if rows is None:
        return read(split)
    start, stop = rows[0], min(rows[1], int(builder.info.splits[split].num_examples))
    if start >= stop:  # TensorFlow Datasets refuses an empty slice
        return read(split).take(0)
    return read(tfds.core.ReadInstruction(split, from_=start, to=stop, unit="abs"))
