"""An index of items in a file: built once for a checkpoint, and found again.

The file is safetensors: what was learned, where every item went, a number for every item by which it is known again
(`genrec.decoding.vector_index.marks`), and how the index was tuned. It holds no vector: they are the recommender's own,
and what an index makes of them is made again, which takes a moment. The file is data, whoever made it; one that is
damaged, of other items, or of somebody who means ill is told of, and its index is built.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import Tensor

from genrec.decoding.structures import checked
from genrec.decoding.vector_index import DEEPEST, Kind, Tuned, VectorIndex, made, marks
from genrec.errors import GenrecError
from genrec.io.files import write_over

FOLDER = "index"
MARKS = "marks"
SAME = 1e-3
"""Items are the same as far as their marks differ by less, in parts of the usual mark."""


class Place(NamedTuple):
    """Where the indexes of a recommender are kept.

    Args:
        folder: where.
        stem: their files begin with this: a run has several checkpoints.
        writes: whether new ones are kept there.
    """

    folder: Path
    stem: str
    writes: bool

    @classmethod
    def of_run(cls, checkpoint: Path) -> Place:
        """Of a checkpoint of a run."""
        return cls(checkpoint.parents[1] / FOLDER, f"{checkpoint.stem}-", True)

    @classmethod
    def of_saved(cls, folder: Path) -> Place:
        """Of a saved recommender, which is left as it is."""
        return cls(folder / FOLDER, "", False)

    def file(self, kind: Kind) -> Path:
        """That of an index."""
        return self.folder / f"{self.stem}{kind}.safetensors"


def write(path: Path, index: VectorIndex) -> None:
    """Write an index that is not exact, and was tuned; an older one of that name is replaced.

    Raises:
        OSError: if it cannot be written.
    """
    structure = index.structure
    assert structure is not None
    assert index.tuned is not None
    about = {
        **index.tuned._asdict(),
        "effort": index.effort,
        "deep": index.deep,
        "radius": structure.radius,
        "width": structure.width,
    }
    arrays = {name: np.ascontiguousarray(array) for name, array in structure.arrays().items()}
    arrays[MARKS] = marks(index.vectors)
    write_over(path, lambda unfinished: save_file(arrays, unfinished, {"index": json.dumps(about)}))


def read(path: Path, vectors: Tensor, kind: Kind) -> VectorIndex | None:
    """The index of a file; None if there is none, or it is not one of these vectors, which is told.

    Args:
        path: the file.
        vectors: of the items, [N, d].
        kind: of the index.
    """
    if not path.is_file():
        return None
    try:
        return _read(path, vectors, kind)
    except Exception as error:  # whatever is wrong in a file that somebody else made
        reason = " ".join(str(error).split())[:120]
        print(f"`{path}` is no index of these items ({reason}): it is built again", file=sys.stderr)
        return None


def _read(path: Path, vectors: Tensor, kind: Kind) -> VectorIndex:
    with safe_open(path, framework="numpy") as file:
        about: Any = json.loads((file.metadata() or {})["index"])
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no mapping
    radius = _number(about, "radius", float, 1e-30, 1e30)
    structure = made(vectors, kind, radius)
    assert structure is not None
    if _number(about, "width", int, 1, 2**31) != vectors.shape[1]:
        raise GenrecError("their vectors have another width")
    there, mine = arrays.pop(MARKS), marks(vectors)
    checked(there, np.float32, mine.shape)
    if not (np.abs(there - mine) <= SAME * np.sqrt(np.square(mine).mean())).all():
        raise GenrecError("they have changed since")
    structure.restore(arrays, vectors)
    index = VectorIndex(vectors, kind, structure)
    index.effort = _number(about, "effort", int, structure.least, structure.most)
    index.deep = _number(about, "deep", int, 1, DEEPEST)
    share, recall = (_number(about, name, float, 0, 1) for name in ("share", "recall"))
    index.tuned = Tuned(_number(about, "k", int, 1, 2**31), recall, share)
    return index


def _number(about: dict[str, Any], name: str, kind: type, least: float, most: float) -> Any:
    value = kind(about[name]) if not isinstance(about[name], bool | str) else None
    if value is None or not least <= value <= most:
        raise GenrecError(f"`{name}` is {about[name]!r:.40}")
    return value
