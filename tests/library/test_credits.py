"""Credits in the tags of every kind of file, read again by other readers than the one that wrote them."""

import os
import shutil

import pytest

pytest.importorskip("mutagen")

import mutagen
from mutagen.apev2 import APEv2
from mutagen.id3 import ID3, TIT2
from tinytag import TinyTag

from tests.library.files_with_tags import COVER, KINDS, make, sound
from whosings.errors import TagError
from whosings.library.credits import Credit, credits_of, missing, write_credits
from whosings.library.id3_people import Id3Error, Person, people_of, tag_size, with_people
from whosings.library.id3_place import Id3Place, put_tag

ANN, BÖ = Credit("Ann"), Credit("Bö 東 (UK)")
GIL = Credit("Gil", "guitar")


def written(source, *add, remove=()):
    target = source.with_name(f"new-{source.name}")
    write_credits(source, target, add, remove)
    return target


@pytest.mark.parametrize("name", KINDS)
def test_credits_come_back_and_nothing_else_changes(tmp_path, name):
    source = make(tmp_path, name)
    before = credits_of(source)
    target = written(source, ANN, BÖ)
    assert sorted(map(str, credits_of(target))) == sorted(map(str, (*before, ANN, BÖ)))
    assert (GIL in before) != name.startswith("bare")
    assert sound(target) == sound(source)
    old, new = mutagen.File(source), mutagen.File(target)
    assert type(old) is type(new) and old.info.length == new.info.length
    if isinstance(new.tags, ID3):
        lists = {"TMCL", "TIPL"}
        assert {key: value for key, value in new.tags.items() if key not in lists} == {
            key: value for key, value in (old.tags or {}).items() if key not in lists
        }
        people = [pair for key in sorted(lists) if key in new.tags for pair in new.tags[key].people]
        assert ["vocals", "Ann"] in people and ["vocals", "Bö 東 (UK)"] in people
    elif name == "a.m4a":
        key = "----:com.apple.iTunes:PERFORMER"
        assert [bytes(v).decode() for v in new[key]] == ["Gil (guitar)", "Ann (vocals)", "Bö 東 (UK) (vocals)"]
        assert {k: v for k, v in new.items() if k != key} == {k: v for k, v in old.items() if k != key}
    else:
        rest = [pair for pair in new.tags if pair[0].lower() != "performer"]
        assert rest == [pair for pair in old.tags if pair[0].lower() != "performer"] and len(rest) >= 3
        assert new["PERFORMER"] == ["Gil (guitar)", "Ann (vocals)", "Bö 東 (UK) (vocals)"]
        assert getattr(new, "pictures", []) == getattr(old, "pictures", [])
    assert TinyTag.get(target).title == TinyTag.get(source).title
    assert credits_of(written(target, remove=[ANN, BÖ])) == before


@pytest.mark.parametrize(("name", "version"), [("24.mp3", 4), ("23.mp3", 3), ("22.mp3", 2), ("24.wav", 4)])
def test_a_tag_keeps_its_version_and_its_other_frames_to_the_byte(tmp_path, name, version):
    source = make(tmp_path, name)
    target = written(source, ANN)
    old, new = source.read_bytes(), target.read_bytes()
    at = old.index(b"ID3" + bytes([version])) if version != 4 or name.endswith("mp3") else old.index(b"ID3\4")
    assert new[at + 3] == version
    assert name == "22.mp3" or COVER in new
    size = tag_size(old[at : at + 10])
    assert tag_size(new[at : at + 10]) == size, "the padding takes it up"
    assert len(old) == len(new) and old[at + size :] == new[at + size :]
    if version == 3:
        frames = ID3(target, translate=False)
        assert frames["IPLS"].people == [["producer", "Pat"], ["guitar", "Gil"], ["vocals", "Ann"]]
        assert "TMCL" not in frames


def test_an_id3v1_tag_and_frames_that_occur_twice_stay(tmp_path):
    """mutagen would write the one anew and keep one of the others."""
    source = make(tmp_path, "24.mp3")
    frame = b"TXXX\0\0\0\x07\0\0\0MOOD\0x"
    tag = with_people(b"", [Person("vocals", "Eve")])
    twice = tag[:10] + (frame * 2 + tag[10:])[: len(tag) - 10]
    source.write_bytes(twice + source.read_bytes()[tag_size(source.read_bytes()[:10]) :])
    assert len(ID3(source).getall("TXXX")) == 1
    v1 = source.read_bytes()[-128:]
    new = written(source, ANN).read_bytes()
    assert new.count(frame) == 2 and v1[:3] == b"TAG" and new[-128:] == v1


def test_a_tag_without_room_grows_and_the_gapless_header_stays(tmp_path):
    source = make(tmp_path, "bare.mp3")
    target = written(source, ANN)
    old, new = source.read_bytes(), target.read_bytes()
    assert new[tag_size(new[:10]) :] == old
    assert (b"Info" in new[: 4096 + 512]) or (b"Xing" in new[: 4096 + 512])
    names = [Credit(f"Singer {n}") for n in range(400)]
    more = written(target, *names)
    assert credits_of(more) == (ANN, *names) and more.read_bytes().endswith(old) and sound(more) == sound(source)


@pytest.mark.parametrize("version", [3, 4])
def test_unsynchronised_tags_and_old_sizes(tmp_path, version):
    """Written by hand as the specifications say: FF is followed by 00, and iTunes' sizes of ID3v2.4 are plain."""
    body = b"\1" + "".join(f"{word}\0" for word in ("drums", "Ÿÿ")).encode("utf-16")
    plain = (b"TMCL" if version == 4 else b"IPLS") + len(body).to_bytes(4, "big") + b"\0\0" + body
    apart = body.replace(b"\xff", b"\xff\x00")
    if version == 4:
        frame = b"TMCL" + bytes([0, 0, len(apart) >> 7, len(apart) & 0x7F]) + b"\0\2" + apart
    else:
        frame = plain.replace(b"\xff", b"\xff\x00")
    tag = b"ID3" + bytes([version, 0, 0x80, 0, 0, 0, len(frame)]) + frame
    assert people_of(tag) == (Person("drums", "Ÿÿ"),)
    new = with_people(tag, [Person("vocals", "Ann")])
    assert people_of(new) == (Person("drums", "Ÿÿ"), Person("vocals", "Ann"))
    (tmp_path / "t").write_bytes(new)
    assert ID3(tmp_path / "t")["TMCL" if version == 4 else "TIPL"].people == [["drums", "Ÿÿ"], ["vocals", "Ann"]]
    long = b"\0drums\0" + b"x" * 300 + b"\0"
    old = b"TMCL" + len(long).to_bytes(4, "big") + b"\0\0" + long + b"TIT2\0\0\0\2\0\0\0a"
    tag = b"ID3\4\0\0" + bytes([0, 0, len(old) >> 7, len(old) & 0x7F]) + old
    assert people_of(with_people(tag, [Person("vocals", "Ann")]))[1:] == (Person("vocals", "Ann"),)


def test_who_is_credited_for_singing_in_any_words_is_not_credited_again():
    there = [Credit("Ann", "lead vocals"), Credit("Bob", "guitar"), Credit("Eva", "Gesang"), Credit("Joe", "")]
    wanted = [Credit("ann"), Credit("Bob"), Credit("EVA"), Credit("Joe"), Credit("joe")]
    assert missing(there, wanted) == (Credit("Bob"), Credit("Joe"))


@pytest.mark.parametrize(
    "value", ["Ann (vocals)", "Ann (UK) (lead vocals)", "Ann", "(vocals)", "Ann )", "Sa (drums (set))"]
)
def test_performers_are_read_as_they_are_written(tmp_path, value):
    source = make(tmp_path, "a.ogg")
    file = mutagen.File(source)
    file["performer"] = [value]
    file.save()
    (credit,) = credits_of(source)
    assert str(credit) == value
    assert [credit.name, credit.role] == {
        "Ann (vocals)": ["Ann", "vocals"],
        "Ann (UK) (lead vocals)": ["Ann (UK)", "lead vocals"],
        "Sa (drums (set))": ["Sa", "drums (set)"],
    }.get(value, [value, ""])


def test_what_would_lose_tags_is_refused(tmp_path):
    """A new ID3v2 tag hides others from readers that take the first kind they find, as TagLib does."""
    mp3 = make(tmp_path, "bare.mp3")
    one, ape, info = (tmp_path / name for name in ("one.mp3", "ape.mp3", "info.wav"))
    shutil.copy(mp3, one)
    tags = ID3()
    tags.add(TIT2(text=["T"]))
    tags.save(one, v1=2)
    one.write_bytes(one.read_bytes()[tag_size(one.read_bytes()[:10]) :])
    shutil.copy(mp3, ape)
    old = APEv2()
    old["Title"] = "T"
    old.save(ape)
    wav = make(tmp_path, "bare.wav").read_bytes()
    chunk = b"LIST\x0e\0\0\0INFOINAM\2\0\0\0T\0"
    info.write_bytes(wav[:4] + (len(wav) - 8 + len(chunk)).to_bytes(4, "little") + wav[8:] + chunk)
    latin = make(tmp_path, "a.flac")
    latin.write_bytes(latin.read_bytes().replace(b"=last", b"=l\xe4st"))
    assert b"=l\xe4st" in latin.read_bytes()
    for path, says in ((one, "ID3v1 or APE"), (ape, "of APE"), (info, "INFO"), (latin, "not text in UTF-8")):
        with pytest.raises(TagError, match=says):
            written(path, ANN)
    for name, content in (("a.aac", b"\xff\xf1\x50\x80" * 99), ("a.txt", b"words" * 99), ("rf.wav", b"RF64" + wav[4:])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(TagError):
            credits_of(tmp_path / name)
    with pytest.raises(TagError, match="cannot be read"):
        credits_of(tmp_path / "none.mp3")


def test_damaged_tags_are_told_and_never_written(tmp_path):
    """Any byte of a tag's frames may be another one: what is written is then read as it was meant, or refused."""
    tag = make(tmp_path, "24.mp3").read_bytes()[:400]
    tag = tag[:6] + bytes([0, 0, 3, 6]) + tag[10:400]
    for place in range(3, 100):
        for value in (0, 0x7F, 0xFF):
            damaged = tag[:place] + bytes([value]) + tag[place + 1 :]
            try:
                before = people_of(damaged)
                after = people_of(with_people(damaged, [Person("vocals", "Ann")]))
            except Id3Error:
                continue
            assert after[-1] == Person("vocals", "Ann") or Person("vocals", "Ann") in after
            assert set(before) <= set(after), os.fsdecode(damaged)


@pytest.mark.parametrize("name", KINDS)
def test_taglib_and_so_navidrome_sees_who_sings(tmp_path, name):
    """TagLib has a key a role for ID3, in all its versions, and the text with brackets for the others."""
    taglib = pytest.importorskip("taglib")
    with taglib.File(written(make(tmp_path, name), ANN, BÖ)) as file:
        tags = file.tags
    if "PERFORMER" in tags:
        assert tags["PERFORMER"][-2:] == ["Ann (vocals)", "Bö 東 (UK) (vocals)"]
    else:
        assert tags["PERFORMER:VOCALS"] == ["Ann", "Bö 東 (UK)"]
    assert name.startswith("bare") or ("Gil" in str(tags) and "TITLE" in tags)


@pytest.mark.parametrize("first", ["ID3v1", "APEv2", "INFO"])
def test_why_tags_that_would_be_hidden_are_refused(tmp_path, first):
    """TagLib shows the first kind of tags that a file has, and no other: the title would be gone."""
    taglib = pytest.importorskip("taglib")
    path = make(tmp_path, "bare.wav" if first == "INFO" else "bare.mp3")
    with taglib.File(path, save_on_exit=True) as file:
        file.tags["TITLE"] = ["T"]
    if first == "INFO":
        chunk = b"LIST\x0e\0\0\0INFOINAM\2\0\0\0T\0"
        wav = make(tmp_path, "bare.wav").read_bytes()
        path.write_bytes(wav[:4] + (len(wav) - 8 + len(chunk)).to_bytes(4, "little") + wav[8:] + chunk)
    else:
        content = path.read_bytes()
        content = content[tag_size(content[:10]) :]
        path.write_bytes(content if content[-128:-125] == b"TAG" else content + b"TAGT".ljust(128, b"\0"))
        if first == "APEv2":
            path.write_bytes(content[:-128] if content[-128:-125] == b"TAG" else content)
            old = APEv2()
            old["Title"] = "T"
            old.save(path)
    with taglib.File(path) as file:
        assert file.tags["TITLE"] == ["T"]
    with pytest.raises(TagError, match="would hide"):
        written(path, ANN)
    tag = with_people(b"", [Person("vocals", "Ann")])
    if first == "INFO":
        put_tag(
            path, tmp_path / "hidden.wav", Id3Place(True, False, path.stat().st_size, 0, path.stat().st_size - 8), tag
        )
    else:
        (tmp_path / "hidden.mp3").write_bytes(tag + path.read_bytes())
    with taglib.File(tmp_path / ("hidden.wav" if first == "INFO" else "hidden.mp3")) as file:
        assert "TITLE" not in file.tags
