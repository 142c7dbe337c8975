"""Loaders of open data sets on made folders of their forms, with what is odd in them; on real ones where they lie."""

import json
import unicodedata
from pathlib import Path
from typing import get_args

import pytest

from whosings.catalogue.datasets import FMA, MTG
from whosings.catalogue.manifest import Track
from whosings.catalogue.open_data.by_tables import table_of
from whosings.catalogue.open_data.registry import OPEN_DATA_SETS, load_dataset, read_dataset
from whosings.commands.options import DataSetName
from whosings.errors import ManifestError

REAL = Path(__file__).parents[3] / "shared/data"


def make(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def reasons(reading, folder: Path) -> dict[str, str]:
    return {str(one.path.relative_to(folder)): one.reason for one in reading.passed_over}


def rows(manifest) -> list[tuple[str, str, str | None]]:
    return [(track.track_id, track.singer_id, track.song) for track in manifest.tracks]


def test_vocalset(tmp_path):
    folder = make(
        tmp_path / "VocalSet",
        "FULL/female1/arpeggios/belt/f1_arpeggios_belt_c_a.wav",
        "FULL/female1/arpeggios/fast_piano/arps_c_fast_piano.wav",  # no singer in its name
        "FULL/female1/excerpts/vibrato/f1_dona_vibrato.wav",
        "FULL/female1/excerpts/spoken/f1_dona_spoken.wav",
        "FULL/female1/scales/straight/f1_scales_straight_u.wav",
        "FULL/female1/scales/straight/f1_scales_straight_u(1).wav",
        "FULL/female1/scales/straight/._f1_scales_straight_u.wav",
        "FULL/female1/scales/straight/.DS_Store",
        "FULL/male10/long_tones/trill/m10_long_trill_a.WAV",
        "FULL/male10/long_tones/trill/m1_long_trill_e.wav",
        "FULL/male10/scales/vibrato/m10_scales_vibrato_a(1).wav",  # without the file it would copy
        "__MACOSX/FULL/male10/long_tones/trill/m10_long_trill_a.wav",
        "data_by_vowel/a/f1_arpeggios_belt_c_a.wav",
        "readme-anon.txt",
    )
    found = read_dataset("vocalset", folder)
    assert rows(found.manifest) == [
        ("female1/arpeggios/belt/f1_arpeggios_belt_c_a", "female1", "arpeggios"),
        ("female1/arpeggios/fast_piano/arps_c_fast_piano", "female1", "arpeggios"),
        ("female1/excerpts/vibrato/f1_dona_vibrato", "female1", "dona"),
        ("female1/scales/straight/f1_scales_straight_u", "female1", "scales"),
        ("male10/long_tones/trill/m10_long_trill_a", "male10", "long_tones"),
        ("male10/scales/vibrato/m10_scales_vibrato_a(1)", "male10", "scales"),
    ]
    assert reasons(found, folder) == {
        "FULL/female1/excerpts/spoken/f1_dona_spoken.wav": "it is spoken",
        "FULL/female1/scales/straight/f1_scales_straight_u(1).wav": "it is a copy",
        "FULL/male10/long_tones/trill/m1_long_trill_e.wav": "its name and its folder tell two singers",
        "data_by_vowel/a/f1_arpeggios_belt_c_a.wav": "it is not in folders of singer, context and technique",
    }
    assert not found.manifest.missing_audio()
    # Any folder of the set will do, and gives the same ids.
    assert load_dataset("vocalset", folder / "FULL") == found.manifest
    one = load_dataset("vocalset", folder / "FULL/female1")
    assert rows(one) == rows(found.manifest)[:4]
    sex_of = OPEN_DATA_SETS["vocalset"].sex_of
    assert [sex_of(name) for name in ("female1", "male10", "f1")] == ["female", "male", None]


def test_m4singer(tmp_path):
    song = "Alto-1#岁月é"
    apart = unicodedata.normalize("NFD", song)
    assert apart != song
    folder = make(
        tmp_path / "m4singer",
        f"{apart}/0000.wav",
        f"{apart}/0001.wav",
        f"{apart}/0000.TextGrid",
        f"{apart}/._0001.wav",
        "Bass-2#A#1/0000.wav",
        "Countertenor-1#x/0000.wav",
        "0000.wav",
    )
    items = [{"item_name": name} for name in (f"{song}#0000", f"{song}#0001", f"{song}#0002", "Bass-2#A#1#0000")]
    (folder / "meta.json").write_text(json.dumps(items, ensure_ascii=False), encoding="utf-8")
    found = read_dataset("m4singer", folder)
    assert rows(found.manifest) == [
        (f"{song}#0000", "Alto-1", "岁月é"),
        (f"{song}#0001", "Alto-1", "岁月é"),
        ("Bass-2#A#1#0000", "Bass-2", "A#1"),
    ]
    assert {track.language for track in found.manifest.tracks} == {"zh"}
    assert not found.manifest.missing_audio()  # paths are as the disk has them, ids are composed
    assert reasons(found, folder) == {
        "0000.wav": "it is not in a folder Singer#Song",
        "Countertenor-1#x/0000.wav": "it is not in a folder Singer#Song",
        f"{song}/0002.wav": "meta.json lists it, and it is not there",
    }
    sex_of = OPEN_DATA_SETS["m4singer"].sex_of
    assert [sex_of(name) for name in ("Alto-1", "Soprano-3", "Tenor-1", "Bass-2", "x")] == [
        "female", "female", "male", "male", None,
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["{", "[1]", '{"a": 1}', '[{"name": "x"}]', "\udcff"])
def test_m4singer_with_a_broken_table(tmp_path, text):
    folder = make(tmp_path, "Alto-1#x/0000.wav")
    (folder / "meta.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ManifestError, match=r"meta\.json.* is not a list of objects with item_name"):
        load_dataset("m4singer", folder)


def test_gtsinger(tmp_path):
    folder = make(
        tmp_path / "GTSinger",
        "English/EN-Alto-1/Breathy/all is found/Breathy_Group/0000.wav",
        "English/EN-Alto-1/Breathy/all is found/Control_Group/0000.wav",
        "English/EN-Alto-1/Breathy/all is found/Paired_Speech_Group/0000.wav",
        "English/EN-Alto-1/Breathy/all is found/Control_Group/0000.json",
        "English/EN-Alto-1/Vibrato/all is found /Control_Group/0000.wav",
        "Chinese/ZH-Tenor-1/Glissando/十年/Control_Group/0000.wav",
        "Chinese/ZH-Tenor-1/Glissando/十年/Control_Group/._0000.wav",
        "English/EN-Alto-1/notes/0000.wav",
    )
    found = read_dataset("gtsinger", folder)
    assert rows(found.manifest) == [
        ("Chinese#ZH-Tenor-1#Glissando#十年#Control_Group#0000", "ZH-Tenor-1", "十年"),
        ("English#EN-Alto-1#Breathy#all is found#Breathy_Group#0000", "EN-Alto-1", "all is found"),
        ("English#EN-Alto-1#Breathy#all is found#Control_Group#0000", "EN-Alto-1", "all is found"),
        ("English#EN-Alto-1#Vibrato#all is found#Control_Group#0000", "EN-Alto-1", "all is found"),
    ]
    assert [track.language for track in found.manifest.tracks] == ["zh", "en", "en", "en"]
    assert reasons(found, folder) == {
        "English/EN-Alto-1/Breathy/all is found/Paired_Speech_Group/0000.wav": "it is spoken",
        "English/EN-Alto-1/notes/0000.wav": "it is not in folders of singer, technique, song and group",
    }
    # One language, or one singer, as people keep them.
    part = load_dataset("gtsinger", folder / "English/EN-Alto-1")
    assert rows(part) == rows(found.manifest)[1:]
    assert OPEN_DATA_SETS["gtsinger"].sex_of("ZH-Tenor-1") == "male"


def test_artist20(tmp_path):
    folder = make(
        tmp_path / "artist20",
        "mp3s-32k/aerosmith/Aerosmith/01-Make_It.mp3",
        "mp3s-32k/aerosmith/Aerosmith/._01-Make_It.mp3",
        "mp3s-32k/cure/Wild_Mood_Swings/10-Treasure.mp3",
        "mp3s-32k/u2/October/99.mp3",
        "mp3s-32k/u2/loose.mp3",
        "lists/a20-all-tracks.list",
    )
    found = read_dataset("artist20", folder)
    assert [(t.track_id, t.singer_id, t.album, t.title) for t in found.manifest.tracks] == [
        ("aerosmith/Aerosmith/01-Make_It", "aerosmith", "Aerosmith", "Make It"),
        ("cure/Wild_Mood_Swings/10-Treasure", "cure", "Wild Mood Swings", "Treasure"),
        ("u2/October/99", "u2", "October", "99"),
    ]
    assert reasons(found, folder) == {"mp3s-32k/u2/loose.mp3": "it is not in folders of artist and album"}
    assert load_dataset("artist20", folder / "mp3s-32k") == found.manifest


def test_ravdess(tmp_path):
    folder = make(
        tmp_path / "songs",
        "Actor_01/03-02-05-02-01-02-01.wav",
        "Actor_02/03-02-01-01-02-01-02.wav",
        "audio_song_actors_01-24/Actor_02/03-02-01-01-02-01-02.wav",  # an archive unpacked twice
        "Actor_02/03-01-01-01-02-01-02.wav",
        "Actor_02/02-02-01-01-02-01-02.mp4",
        "Actor_02/take2.wav",
        "Actor_02/._03-02-01-01-02-02-02.wav",
    )
    found = read_dataset("ravdess-song", folder)
    assert found.manifest.tracks == (
        Track(
            "03-02-01-01-02-01-02",
            "actor-02",
            folder / "Actor_02/03-02-01-01-02-01-02.wav",
            title="statement 2, neutral, normal, take 1",
            language="en",
            licence="CC BY-NC-SA 4.0",
            song="statement 2",
        ),
        Track(
            "03-02-05-02-01-02-01",
            "actor-01",
            folder / "Actor_01/03-02-05-02-01-02-01.wav",
            title="statement 1, angry, strong, take 2",
            language="en",
            licence="CC BY-NC-SA 4.0",
            song="statement 1",
        ),
    )
    assert reasons(found, folder) == {
        "Actor_02/02-02-01-01-02-01-02.mp4": "it is video",
        "Actor_02/03-01-01-01-02-01-02.wav": "it is spoken",
        "Actor_02/take2.wav": "its name is not seven numbers",
        "audio_song_actors_01-24/Actor_02/03-02-01-01-02-01-02.wav": "another file is 03-02-01-01-02-01-02, too",
    }
    sex_of = OPEN_DATA_SETS["ravdess-song"].sex_of
    assert [sex_of(name) for name in ("actor-01", "actor-24", "Actor 1")] == ["male", "female", None]


LYRICS = """URL,Filepath,Artist,Title,Genre,LicenseType,Language,LyricOverlap,Polyphonic,NonLexical
u,Séculaire_-_saru.mp3,WASARU,Séculaire,Hip-Hop,CC  BY-NC-SA,French,false,false,false
u,Keep_On.mp3,Quentin,Keep On,Pop,BY-ND,English,false,true,false
u,Der_Baum_(2).mp3,quentin,Der Baum,,CC BY,German,false,true,false
u,Keep_On.mp3,Quentin,Keep On,Pop,BY-ND,English,false,true,false
"""


def test_jamendo_lyrics(tmp_path):
    folder = make(tmp_path, "mp3/" + unicodedata.normalize("NFD", "Séculaire_-_saru.mp3"), "Keep_On.mp3", "mp3/._x.mp3")
    (folder / "JamendoLyrics.csv").write_text(LYRICS, encoding="utf-8-sig")
    found = read_dataset("jamendolyrics", folder)
    assert [(t.track_id, t.singer_id, t.licence, t.language, t.genre) for t in found.manifest.tracks] == [
        ("Der_Baum_(2)", "quentin", "CC BY", "de", None),
        ("Keep_On", "quentin", "CC BY-ND", "en", "Pop"),  # one artist in two spellings
        ("Séculaire_-_saru", "WASARU", "CC BY-NC-SA", "fr", "Hip-Hop"),
    ]
    assert found.manifest.missing_audio() == (folder / "Der_Baum_(2).mp3",)
    assert [one.reason for one in found.passed_over] == ["the table names it twice"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Filepath,Artist\n", "holds no songs"),
        ("Filepath,Artist\n../x.mp3,Ann\n", "row 2 has no Filepath and Artist"),
        ("Filepath,Artist\nx.mp3,\n", "row 2 has no Filepath and Artist"),
        ("path,who\nx.mp3,Ann\n", "row 2 has no Filepath and Artist"),
    ],
)
def test_jamendo_lyrics_with_a_broken_table(tmp_path, text, says):
    (tmp_path / "songs.csv").write_text(text)
    with pytest.raises(ManifestError, match=says):
        load_dataset("jamendolyrics", tmp_path)


def test_sets_by_tables(tmp_path):
    table = tmp_path / "data/raw_30s.tsv"
    table.parent.mkdir()
    table.write_text(
        "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\ntrack_1\tartist_1\talbum_1\t14/214.mp3\t124.6\tgenre---pop\n"
    )
    make(tmp_path, "audio-low/14/214.low.mp3")
    assert table_of(tmp_path, MTG) == table and table_of(tmp_path, FMA) is None
    (track,) = load_dataset("mtg", tmp_path).tracks
    assert (track.track_id, track.singer_id, track.path) == (
        "14/214.mp3", "artist_1", tmp_path / "audio-low/14/214.low.mp3",
    )  # fmt: skip
    with pytest.raises(ManifestError, match=r"holds none of tracks\.csv, fma_metadata/tracks\.csv"):
        load_dataset("fma", tmp_path)


def test_every_set_says_what_it_is():
    assert tuple(OPEN_DATA_SETS) == get_args(DataSetName)
    for name, one in OPEN_DATA_SETS.items():
        assert one.name == name
        for text in (one.title, one.citation, one.licence, one.home, one.size, one.form, one.singer, one.song):
            assert text.strip() == text != ""
        assert ("BY-NC" in one.licence) <= (one.commercial != "yes")


@pytest.mark.parametrize("name", OPEN_DATA_SETS)
def test_folders_of_another_form_are_refused(tmp_path, name):
    with pytest.raises(ManifestError, match="no such folder"):
        load_dataset(name, tmp_path / "none")
    make(tmp_path, "x/y.txt", "song.mp3")
    with pytest.raises(ManifestError, match="holds no"):
        load_dataset(name, tmp_path)


def test_unknown_sets_are_refused(tmp_path):
    with pytest.raises(ManifestError, match=r"dali: is no data set known here; name one of vocalset, "):
        load_dataset("dali", tmp_path)


@pytest.mark.skipif(not REAL.is_dir(), reason="the data sets do not lie here")
def test_real_folders():
    songs = read_dataset("ravdess-song", REAL / "ravdess-song")
    assert (len(songs.manifest.tracks), len(songs.manifest.by_singer), songs.passed_over) == (1009, 23, ())
    lyrics = read_dataset("jamendolyrics", REAL / "jamendolyrics")
    assert len(lyrics.manifest.tracks) == len(lyrics.manifest.by_singer) == 10
    assert not lyrics.passed_over and not lyrics.manifest.missing_audio() and not songs.manifest.missing_audio()
