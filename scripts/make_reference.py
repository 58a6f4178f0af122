"""Write the canaries' vectors by sentence-transformers for a model, to be shipped with the package:

    python scripts/make_reference.py all-MiniLM-L6-v2

Where a reference is shipped, the first sync needs no torch to trust the model's encoder.
"""

import sys
from pathlib import Path

import numpy as np

from reindex.embedders.canaries import CANARIES, references
from reindex.embedders.catalog import ModelCatalog
from reindex.embedders.torch_encoder import TorchEncoder
from reindex.vectors import normalised

model = ModelCatalog(Path.cwd()).find(sys.argv[1])
vectors = normalised(TorchEncoder(model.directory, threads=0).encode(CANARIES))
folder = Path(str(references()))
folder.mkdir(exist_ok=True)
np.save(folder / f"{model.digest[:16]}.npy", vectors)
