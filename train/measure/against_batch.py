"""A shipped lifter's file against its PyTorch network: streaming frame by frame must equal whole sequences."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import torch

from engines.modelfile import read_model
from engines.runtime import Engine
from train.deliver.export import read_weights
from train.models.lifter_io import OUTPUTS, Lifter
from train.models.low_rank import take_ranks
from train.models.lstm import LstmLifter
from train.models.tcn import CausalTcn


def from_file(path: Path) -> Lifter:
    """Rebuild the PyTorch network of a shipped lifter from the weights in its file."""
    weights = read_weights(path)
    settles = len(weights["head.weight"]) > OUTPUTS  # the first shipped files did not
    recurrent = any(name.startswith("lstm.") for name in weights)
    ahead = int(read_model(path).spec.settings.get("look_ahead_frames", 0))
    model: Lifter = (LstmLifter if recurrent else CausalTcn)(settles=settles, look_ahead=ahead)
    take_ranks(model, weights.items())
    model.load_state_dict(weights)
    return model.eval()


def streaming_gap(engine: Engine, model: Lifter, seed: int = 0) -> float:
    """Return the largest difference between the streaming file and the dense network, metres (root: share of depth).

    Six people come and go in one engine for 300 frames: sequences of random length, each begun with a reset, with
    lost joints and uneven times.
    """
    rng = np.random.default_rng(seed)
    people, length = 6, 300
    xy = rng.normal(0, 0.2, (people, 1, 17, 2)) + np.cumsum(rng.normal(0, 0.01, (people, length, 17, 2)), 1)
    score = rng.uniform(-0.2, 1, (people, length, 17)).clip(0)
    dt_s = rng.uniform(0.01, 0.1, (people, length))
    begins = rng.random((people, length)) < 0.01
    begins[:, 0] = True
    dt_s[begins] = 0
    case = {"xy": xy.astype(np.float32), "score": score.astype(np.float32), "dt_s": dt_s.astype(np.float32)}
    keys, worst, streamed = list(range(people)), 0.0, []
    for t in range(length):
        inputs = {name: np.ascontiguousarray(a[:, t]) for name, a in case.items()}
        out = engine.run(inputs, keys, np.flatnonzero(begins[:, t]).tolist())
        streamed.append((out["xyz_m"], out["root_m"]))
    pose, root = (np.stack(part, 1) for part in zip(*streamed, strict=True))
    for person in range(people):
        edges = [*np.flatnonzero(begins[person]), length]
        for a, b in itertools.pairwise(edges):
            with torch.no_grad():
                whole = model.sequence(*(torch.from_numpy(c[person : person + 1, a:b]) for c in case.values()))
            want_pose, want_root = (w[0].numpy() for w in whole)
            worst = max(worst, float(np.abs(pose[person, a:b] - want_pose).max()))
            worst = max(worst, float((np.abs(root[person, a:b] - want_root) / want_root[:, 2:]).max()))
    return worst
