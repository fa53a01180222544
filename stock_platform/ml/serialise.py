"""A fitted candidate as bytes and as a digest, the same in every process and on every machine.

No pickle: arrays of float64 in an .npz next to their names; the digest is over the canonical
content, not over the file.
"""

from __future__ import annotations

import hashlib
import json
from io import BytesIO
from typing import Any
from zipfile import BadZipFile

import numpy as np

from stock_platform.errors import PlatformError
from stock_platform.ml.candidates import by_name
from stock_platform.ml.candidates.base import Fitted

NAME_KEY = "candidate"
PARAMS_KEY = "params"


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def digest_of(*parts: bytes | str) -> str:
    """SHA-256 (hex) of parts, each framed by its length so that no two lists collide."""
    hasher = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        hasher.update(len(data).to_bytes(8, "little") + data)
    return hasher.hexdigest()


def model_digest(fitted: Fitted) -> str:
    """Identity of a fitted candidate: its name, settings and every parameter's exact bytes."""
    parts: list[bytes | str] = [
        fitted.candidate.name,
        canonical_json(dict(fitted.candidate.params)),
    ]
    for name in sorted(fitted.arrays):
        array = np.ascontiguousarray(fitted.arrays[name], dtype="<f8")
        # Adding zero turns -0.0 into 0.0: equal parameters, equal bytes.
        parts += [name, canonical_json(array.shape), (array + 0.0).tobytes()]
    return digest_of(*parts)


def pack(fitted: Fitted) -> bytes:
    """The fitted candidate as an .npz that holds no Python objects."""
    buffer = BytesIO()
    header = {
        NAME_KEY: np.array(fitted.candidate.name),
        PARAMS_KEY: np.array(canonical_json(dict(fitted.candidate.params))),
    }
    arrays = {f"array_{name}": fitted.arrays[name] for name in sorted(fitted.arrays)}
    np.savez_compressed(buffer, **header, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def read_arrays(data: bytes) -> Fitted:
    """The fitted candidate in the bytes of `pack`, not yet verified.

    Raises:
        PlatformError: the bytes are damaged, or this code's candidate of that name has other
            settings.
    """
    try:
        with np.load(BytesIO(data), allow_pickle=False) as stored:
            arrays = {k.removeprefix("array_"): stored[k] for k in stored if k.startswith("array_")}
            name, params = str(stored[NAME_KEY]), str(stored[PARAMS_KEY])
    except (ValueError, OSError, KeyError, EOFError, BadZipFile) as error:
        raise PlatformError(
            f"a model in the registry can't be read ({error}): restore its artifact or train that "
            "week again"
        ) from error
    candidate = by_name(name)
    if params != canonical_json(dict(candidate.params)):
        raise PlatformError(
            f"this {name} was fitted with settings {params}, this code has "
            f"{canonical_json(dict(candidate.params))}: check out the code that fitted it"
        )
    return Fitted(candidate, arrays)


def unpack(data: bytes, expected_digest: str) -> Fitted:
    """The fitted candidate with this digest.

    Raises:
        PlatformError: as `read_arrays`, or the bytes are another model.
    """
    fitted = read_arrays(data)
    found = model_digest(fitted)
    if found != expected_digest:
        raise PlatformError(
            f"the registry's model has digest {found[:12]}, not {expected_digest[:12]}: its "
            "artifact was altered; restore it or train that week again"
        )
    return fitted
