"""What an endpoint has answered and what was spent on it, in one SQLite file.

An answer is found by the model (address, version, signature, output and its answer for one fixed
image) and by the content of the image. The number of queries that have left stands in the same
file, and is written before they leave: a run that is killed can neither pay twice nor spend more
than its budget.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import threading
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tfrobust.classifiers.identity import agree
from tfrobust.classifiers.remote.answers_file import check_ours, make_tables
from tfrobust.errors import StoreError, one_line
from tfrobust.types import Images, Logits

_AT_ONCE = 500  # keys in one statement
_PATIENCE = 30.0  # seconds that another process may write
_SAME = 1e-3  # relative difference of the same model's answers, on other hardware
_MOST_SPENT = 2**53  # SQLite adds beyond 2**63 in floating point
Key = bytes
_OPEN: weakref.WeakValueDictionary[Path, Answers] = weakref.WeakValueDictionary()


def keys_of(images: Images) -> list[Key]:
    """Return what images are found by: 16 bytes of the SHA-256 of their content.

    Args:
        images: float32 `(n, height, width, channels)`.
    """
    size = int(np.prod(images.shape[1:]))
    rows = np.ascontiguousarray(images, np.float32).reshape(len(images), size).view(np.uint8)
    return [hashlib.sha256(row).digest()[:16] for row in rows]


def opened(path: Path | None) -> Answers:
    """Return the answers of a file, one object for all endpoints of a run; `None`: in memory.

    Raises:
        StoreError: it cannot be opened, or is something else.
    """
    if path is None:
        return Answers(None)
    place = path.absolute()
    found = _OPEN.get(place)
    if found is None:
        found = _OPEN[place] = Answers(place)
    return found


class Answers:
    """Kept answers and spent queries; safe for several threads and processes.

    Args:
        path: the file; `None`: in memory.

    Raises:
        StoreError: it cannot be opened, or is something else.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._new = path is not None and not path.exists()
        self._lock = threading.RLock()
        with self._errors():
            self._made = _made_folders(path)
            self._file = sqlite3.connect(
                path or ":memory:",
                timeout=_PATIENCE,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                self._open()
            except BaseException:
                self._file.close()
                raise

    def _open(self) -> None:
        """Look whether the file is ours before anything of it is changed; make it, if need."""
        with self._writing():  # one state of the file: another process may be making it
            check_ours(self._file, self._path)
        self._file.execute("PRAGMA journal_mode=WAL")
        self._file.execute("PRAGMA synchronous=NORMAL")
        with self._writing():
            make_tables(self._file)
            self._spent()

    def _spent(self) -> int:
        rows = self._file.execute("SELECT queries FROM spent LIMIT 2").fetchall()
        if len(rows) != 1 or type(rows[0][0]) is not int or not 0 <= rows[0][0] <= _MOST_SPENT:
            raise self._damaged("the number of queries")
        return int(rows[0][0])

    def _damaged(self, what: str) -> StoreError:
        return StoreError(
            f"{self._path or 'answers'}: {what} in it is damaged; put a copy back, or remove the "
            "file, and what was answered is paid for again"
        )

    def reserve(self, count: int, limit: int | None) -> int:
        """Take queries from the budget, before they leave; return how many there were.

        Args:
            count: how many are wanted.
            limit: of all queries; `None`: no limit.
        """
        with self._errors(), self._writing():
            spent = self._spent()
            granted = count if limit is None else max(0, min(count, limit - spent))
            self._file.execute("UPDATE spent SET queries = queries + ?", (granted,))
        return granted

    def give_back(self, count: int) -> None:
        """Put queries that were taken from the budget, and never left, back into it."""
        with self._errors(), self._writing():
            left = max(0, self._spent() - count)
            self._file.execute("UPDATE spent SET queries = ?", (left,))

    @property
    def spent(self) -> int:
        """The queries that have left."""
        with self._errors(), self._lock:
            return self._spent()

    def known(self, name: str, probe: Logits) -> int | None:
        """Return the number of a model that answers a fixed image in this way, if there is one.

        Args:
            name: address, version, signature and output.
            probe: its answer, float32 `(1, classes)`.
        """
        with self._errors(), self._lock:
            for number, kept in self._file.execute(
                "SELECT number, probe FROM models WHERE name = ? ORDER BY number DESC", (name,)
            ).fetchall():
                if not isinstance(kept, bytes) or len(kept) % 4:
                    raise self._damaged("the answer to the fixed image")
                before = np.frombuffer(kept, np.float32).reshape(1, -1)
                if before.shape == probe.shape and agree(before, probe, _SAME).all():
                    return int(number)
        return None

    def model(self, name: str, probe: Logits) -> int:
        """Return the number of a model that answers a fixed image in this way; a new one, if need.

        Args:
            name: address, version, signature and output.
            probe: its answer, float32 `(1, classes)`.
        """
        with self._errors(), self._writing():
            number = self.known(name, probe)
            if number is not None:
                return number
            insert = "INSERT INTO models (name, probe) VALUES (?, ?)"
            return int(self._file.execute(insert, (name, probe.tobytes())).lastrowid or 0)

    def read(self, model: int, keys: Sequence[Key], classes: int) -> tuple[np.ndarray, Logits]:
        """Return kept answers.

        Args:
            model: its number.
            keys: of images, no two alike.
            classes: how many it has.

        Returns:
            The positions in `keys` that there are answers for, ascending, and float32
            `(positions, classes)`.
        """
        place = {key: number for number, key in enumerate(keys)}
        found: dict[int, bytes] = {}
        size = 4 * classes
        with self._errors(), self._lock:
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                query = f"SELECT image, logits FROM answers WHERE model=? AND image IN ({marks})"  # noqa: S608
                for key, logits in self._file.execute(query, (model, *some)):
                    if not isinstance(logits, bytes) or len(logits) != size:
                        raise self._damaged("an answer")
                    found[place[key]] = logits
        positions = np.array(sorted(found), np.int64)
        joined = b"".join([found[position] for position in positions.tolist()])
        rows = np.frombuffer(joined, np.float32).reshape(-1, classes)
        sound = np.isfinite(rows).all(axis=1)  # the file lies where anybody may write
        return positions[sound], rows[sound]

    def write(self, model: int, keys: Sequence[Key], logits: Logits) -> None:
        """Keep answers."""
        rows = np.ascontiguousarray(logits, np.float32)
        kept = [(model, key, row.tobytes()) for key, row in zip(keys, rows, strict=True)]
        with self._errors(), self._writing():
            self._file.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", kept)

    def remove(self, model: int, keys: Sequence[Key]) -> None:
        """Keep answers no longer."""
        with self._errors(), self._writing():
            delete = "DELETE FROM answers WHERE model = ? AND image = ?"
            self._file.executemany(delete, [(model, key) for key in keys])

    def discard_unused(self) -> None:
        """Remove a file that this object created, if nothing has been spent."""
        if self._path is None or not self._new or self.spent:
            return
        with self._lock:
            self._file.close()
            _OPEN.pop(self._path, None)
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
            for folder in self._made:
                with contextlib.suppress(OSError):  # not empty, or gone
                    folder.rmdir()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Change the file in one transaction, alone."""
        with self._lock:
            self._file.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._file.execute("ROLLBACK")
                raise
            self._file.execute("COMMIT")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"{self._path or 'answers'}: cannot be used ({one_line(error, 120)}); free the "
                "disk, or choose another --out"
            ) from error


def _made_folders(path: Path | None) -> list[Path]:
    """Create the folder of a file; return the folders that were created, the innermost first."""
    if path is None:
        return []
    missing = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    return missing
