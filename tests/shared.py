"""Where the reference samples lie: beside the project on build machines, absent for users."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"
SAMPLES = SHARED / "samples"

needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the reference samples are not beside this checkout")
