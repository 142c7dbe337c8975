"""The bank of voices and bands that `whosings train BANK --config default` learns from.

    python recipes/voice_bank.py --out runs/bank --speech LIBRISPEECH --more KOKORO --music MUSIC/*.ogg
    python recipes/convert_campplus.py campplus_cn_en_common.pt --out runs/campplus
    whosings train runs/bank --config default --out runs/default

`LIBRISPEECH` is a folder `speaker/*.{opus,flac,wav}` (CC BY 4.0). Each speaker, also at other speeds (which makes other
persons), speaks and sings (WORLD: melody imposed, vowels stretched, timbre kept, each song with another technique);
parametric singers join them, and with `--more` anybody else. Bands are generated; recorded music may join them. With
`--files runs/bank-files` the bank is also written as Opus files, three to four times smaller, to be carried to a GPU.
"""

from __future__ import annotations

import argparse
import multiprocessing
from functools import partial
from pathlib import Path

import torch

from whosings.audio import SAMPLE_RATE
from whosings.choir.voice_bank import band_clip, more_clips, parametric_clips, recorded, speaker_clips
from whosings.training.distillation.bank import export_bank, open_bank, write_bank

MOST_RECORDINGS = 4  # of a speaker who trains
SHORTEST_S = 3  # of clips that train


def speaker_folders(speech: Path) -> list[Path]:
    """Speakers with many recordings are kept for measuring; the others train."""
    folders = sorted(p for p in speech.iterdir() if p.is_dir())
    return [f for f in folders if len(list(f.iterdir())) <= MOST_RECORDINGS]


def make_bank(given: argparse.Namespace) -> None:
    """Write a bank; one that is there stays."""
    if (given.out / "bank.npz").exists():
        return
    with multiprocessing.get_context("spawn").Pool(given.workers, torch.set_num_threads, (1,)) as pool:
        folders = [sorted(str(p) for p in f.iterdir()) for f in speaker_folders(given.speech)]
        tasks = [(Path(own[0]).parent.name, own, number) for number, own in enumerate(folders)]
        clips = [c for some in pool.imap(speaker_clips, tasks, 4) for c in some]
        clips += [c for some in pool.imap(parametric_clips, range(given.parametric), 8) for c in some]
        others = sorted(p for folder in given.more for p in folder.iterdir() if p.is_dir())
        clips += [c for some in pool.starmap(more_clips, [(p, n) for n, p in enumerate(others)]) for c in some]
        clips = [clip for clip in clips if clip.samples.size >= SHORTEST_S * SAMPLE_RATE]
        hours = sum(clip.samples.size for clip in clips) / SAMPLE_RATE / 3600
        print(f"{len(clips)} clips, {hours:.1f} h", flush=True)
        bands = list(pool.imap(partial(band_clip, soundfonts=given.soundfont), range(given.bands), 4))
        bands += pool.imap(recorded, given.music)
    write_bank(given.out, clips, bands)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the bank")
    parser.add_argument("--speech", type=Path, required=True, help="folder speaker/*.{opus,flac,wav}")
    parser.add_argument("--more", type=Path, nargs="+", default=[], help="folders person/*.flac of more voices")
    parser.add_argument("--parametric", type=int, default=150, help="generated singers")
    parser.add_argument("--bands", type=int, default=400, help="generated bands")
    parser.add_argument("--soundfont", type=Path, nargs="+", default=[], help="that play the bands in turn")
    parser.add_argument("--music", type=Path, nargs="+", default=[], help="recordings without singing, as bands, too")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--files", type=Path, help="folder for the bank as Opus files, which is how it travels")
    given = parser.parse_args()
    make_bank(given)
    if given.files is not None:
        export_bank(open_bank(given.out), given.files, given.workers)


if __name__ == "__main__":
    main()
