"""Dictionaries of arrays inside .npz files, read without running what the file might bring along.

VideoPose3D stores nested dictionaries as pickled object arrays, so there is no way to its data but through pickle.
People download such files, and a plain unpickler would call whatever a file names: here everything but NumPy's arrays
is refused.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

ALLOWED = frozenset(
    [
        ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"), ("collections", "OrderedDict"),
        *(
            (f"numpy.{core}.{module}", name)
            for core in ("core", "_core")
            for module, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))
        ),
    ]
)  # fmt: skip


class _OnlyArrays(pickle.Unpickler):
    """Unpickles dictionaries, lists, strings, numbers and NumPy arrays."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Refuse what is not needed for arrays.

        Raises:
            ValueError: For any other name.
        """
        if (module_name, global_name) not in ALLOWED:
            raise ValueError(f"it asks for {module_name}.{global_name}, which no array needs")
        return super().find_class(module_name, global_name)


def read_object(path: Path, key: str) -> Any:
    """Return the single object that an .npz file stores under a name: for VideoPose3D, a dictionary.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no .npz, is damaged, lacks the name, or holds anything but arrays.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as file:
            version = np.lib.format.read_magic(file)
            read_header = (
                np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read_header(file)
            if not dtype.hasobject or shape != ():
                raise ValueError(f"{key!r} is an array, not a dictionary")
            return _OnlyArrays(file).load().item()
    except KeyError:
        raise ValueError(f"{path}: no {key!r} in it") from None
    except (ValueError, EOFError, AttributeError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise ValueError(f"{path}: {error}") from error
