"""What the processes of one training tell each other, and which of them writes.

The first worker is the *chief*: it alone claims folders, writes and reports. The others do the same
work, and learn from it what it decided.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from tfrobust.errors import ClassifierError, DataError, RobustError, StoreError, UsageError
from tfrobust.training.cluster import configured, in_words

_UNREACHABLE = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)
_ABORTED = "Collective ops is aborted"
_KINDS = {kind.__name__: kind for kind in (ClassifierError, DataError, StoreError, UsageError)}


class Workers:
    """One process, on however many devices: what it decides is decided.

    Attributes:
        count: how many processes train together.
        chief: whether this one writes and reports.
        recorded: what a plan records of them.
    """

    count: int = 1
    chief: bool = True

    @property
    def recorded(self) -> dict[str, int]:
        """What a plan records of them: a training goes on with the same number only."""
        return {}

    def on_chief(self, work: Callable[[], Any]) -> Any:
        """Return on every worker what `work` returns on the chief, which alone calls it.

        Args:
            work: returns what JSON can hold.

        Raises:
            RobustError: on every worker, what `work` raises on the chief.
        """
        return work()

    def agreed(self, work: Callable[[], Any]) -> list[Any]:
        """Call `work` on every worker, and return on each what all of them return.

        Args:
            work: returns what JSON can hold.

        Raises:
            RobustError: on every worker, what `work` raises on one of them.
        """
        return [work()]

    def gathered(self, values: Sequence[Any]) -> Any:
        """Return a tensor of every replica, `(replicas, …)`.

        Args:
            values: those of this process's replicas, all of one shape.
        """
        return tf.stack(list(values))

    def own(self, values: Any) -> Any:
        """Return those of `(replicas, …)` that belong to this process, in their order."""
        return values

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Turn the end of another worker, during work with it, into one line.

        Raises:
            StoreError: a worker does not answer any more.
        """
        yield

    def split(self, batches: tf.data.Dataset, strategy: Any) -> Any:
        """Return batches split among the replicas.

        Args:
            batches: of tuples of tensors, whose first dimension the replicas divide.
            strategy: of tf.distribute.
        """
        if strategy.num_replicas_in_sync == 1:
            return batches
        return strategy.experimental_distribute_dataset(batches)


class SeveralWorkers(Workers):
    """The processes of a `MultiWorkerMirroredStrategy`.

    Args:
        strategy: with the addresses of the workers.
    """

    def __init__(self, strategy: Any) -> None:
        self._strategy = strategy
        self._cluster = configured(strategy.cluster_resolver)
        self.count, self.chief = self._cluster.size, self._cluster.index == 0
        self._local = strategy.num_replicas_in_sync // self.count
        self._gather = tf.function(self._gathered, reduce_retracing=True)

    @property
    def recorded(self) -> dict[str, int]:
        """Their number; see `Workers`."""
        return {"workers": self.count}

    def on_chief(self, work: Callable[[], Any]) -> Any:
        """Let the chief work; see `Workers`."""
        return self.agreed(work if self.chief else lambda: None)[0]

    def agreed(self, work: Callable[[], Any]) -> list[Any]:
        """Let all of them work; see `Workers`."""
        try:
            outcome, raised = {"value": work()}, None
        except RobustError as error:
            outcome, raised = {"error": type(error).__name__, "message": str(error)}, error
        outcomes = [json.loads(text) for text in self._exchanged(json.dumps(outcome))]
        if raised is not None:
            raise raised
        for index, other in enumerate(outcomes):
            if "error" in other:
                kind = _KINDS.get(other["error"], RobustError)
                raise kind(f"worker {index}: {other['message']}")
        return [other["value"] for other in outcomes]

    def gathered(self, values: Sequence[Any]) -> Any:
        """Gather a tensor of every replica; see `Workers`."""
        mine = list(values)
        return self._gather(
            self._strategy.experimental_distribute_values_from_function(
                lambda context: mine[context.replica_id_in_sync_group % self._local]
            )
        )

    def own(self, values: Any) -> Any:
        """Return the rows of this process's replicas; see `Workers`."""
        first = self._cluster.index * self._local
        return values[first : first + self._local]

    def split(self, batches: tf.data.Dataset, strategy: Any) -> Any:
        """Give each worker its rows of every batch; see `Workers`.

        TensorFlow's own ways give each worker files or batches of its own, and so other batches
        than one process trains on.
        """
        replicas, first = strategy.num_replicas_in_sync, self._cluster.index * self._local

        def own_rows(*batch: Any) -> tuple[Any, ...]:
            rows = tf.shape(batch[0])[0] // replicas
            start = first * rows
            if self._local == 1:
                return tuple(values[start : start + rows] for values in batch)
            shape = (self._local, rows)
            own = (values[start : start + self._local * rows] for values in batch)
            return tuple(tf.reshape(v, (*shape, *v.shape[1:])) for v in own)

        shares = batches.map(own_rows, num_parallel_calls=tf.data.AUTOTUNE)
        shares = shares.prefetch(tf.data.AUTOTUNE)
        if self._local == 1:
            return shares  # without TensorFlow's question to all workers, at each step, for more
        return strategy.distribute_datasets_from_function(lambda _: shares.unbatch())

    def _exchanged(self, text: str) -> list[str]:
        """Return the text of every worker, on every worker."""
        content = text.encode()
        sizes = self.gathered([tf.constant([len(content)])] * self._local).numpy()[:, 0]
        padded = content.ljust(int(sizes.max()))
        numbers = tf.constant(list(padded), tf.int32)
        rows = self.gathered([numbers] * self._local).numpy()
        return [
            bytes(row[:size].tolist()).decode()
            for row, size in list(zip(rows, sizes, strict=True))[:: self._local]
        ]

    def _gathered(self, values: Any) -> Any:
        def replica(value: Any) -> Any:
            return tf.distribute.get_replica_context().all_gather(value[tf.newaxis], axis=0)

        everywhere = self._strategy.run(replica, args=(values,))
        return self._strategy.experimental_local_results(everywhere)[0]

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Turn the end of another worker into one line; see `Workers`."""
        try:
            yield
        except (tf.errors.OpError, DataError) as error:
            if not _ended_elsewhere(error):
                raise
            raise StoreError(
                f"{in_words(self._cluster)}: another worker ended or cannot be reached; see its "
                "own message, and start all workers again with --resume"
            ) from error


def workers_of(strategy: Any) -> Workers:
    """Return the processes that a strategy of tf.distribute trains with."""
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return _several(strategy)
    return Workers()


@functools.cache  # a process has one such strategy; its collectives are traced once
def _several(strategy: Any) -> SeveralWorkers:
    return SeveralWorkers(strategy)


def _ended_elsewhere(error: BaseException) -> bool:
    """Tell whether an error is that of a collective operation which another worker left."""
    cause = error.__cause__ if isinstance(error, DataError) else error  # it met a reader of images
    return isinstance(cause, _UNREACHABLE) or _ABORTED in str(cause)
