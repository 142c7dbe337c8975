"""Objects are had whole or not at all, whatever the store and the network do, and each fault is one sentence."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from whosings import object_stores, storage, storage_faults
from whosings.errors import ChangedObjectError, MissingExtraError, MissingObjectError, StorageError
from whosings.storage import (
    Signature,
    ending,
    fetched,
    fetched_as,
    is_remote,
    joined,
    listing,
    local_path,
    name_of,
    parent,
    put,
    signature,
    walk,
    write_bytes,
)


@pytest.fixture
def content():
    return os.urandom(300_000)


@pytest.fixture
def song(bucket, content):
    return bucket.put("a/song.flac", content)


@pytest.fixture
def in_small_pieces(monkeypatch):
    monkeypatch.setattr(storage, "_PIECE", 100_000)


@pytest.fixture
def in_small_parts(monkeypatch):
    monkeypatch.setattr(object_stores, "_PART", 5 << 20)


def read(location):
    with fetched(location) as path:
        return path.read_bytes()


@pytest.mark.parametrize(
    ("location", "remote"),
    [
        ("s3://bucket/a.flac", True),
        ("gs://bucket/a.flac", True),
        ("S3://bucket/a.flac", True),
        ("sftp://host/a.flac", True),
        ("file:///a.flac", False),
        ("/a/b.flac", False),
        ("a.flac", False),
        ("s3:/bucket/a.flac", False),  # what a Path makes of it
        ("songs/what is 1://2.flac", False),
    ],
)
def test_what_is_on_a_store(location, remote):
    assert is_remote(location) is remote


def test_files_of_this_machine_by_url(tmp_path):
    assert local_path("file:///a%20b/c%23%25.flac") == Path("/a b/c#%.flac")
    assert local_path("file://localhost/a?b#c") == Path("/a?b#c")
    assert local_path("a/b.flac") == Path("a/b.flac")
    with pytest.raises(StorageError, match="another machine"):
        local_path("file://elsewhere/a.flac")
    with pytest.raises(StorageError, match="not on this machine"):
        local_path("s3://bucket/a.flac")
    (tmp_path / "a b.txt").write_bytes(b"x")
    url = (tmp_path / "a b.txt").as_uri()
    with fetched(url) as path:
        assert path == tmp_path / "a b.txt"
    assert path.exists()
    assert signature(url) == Signature(1, path.stat().st_mtime_ns)


def test_parts_of_locations():
    assert joined("s3://b/tables", "songs/a.flac") == "s3://b/tables/songs/a.flac"
    assert joined("s3://b/tables", "gs://c/a.flac") == "gs://c/a.flac"
    assert joined("s3://b/tables", "/here/a.flac") == "/here/a.flac"
    assert joined("/tables", "s3://b/a.flac") == "s3://b/a.flac"
    assert joined("/tables", "a.flac") == "/tables/a.flac"
    assert parent("s3://b/t/songs.parquet") == "s3://b/t"
    assert parent("/t/songs.parquet") == "/t"
    assert name_of("s3://b/t/a b.flac") == "a b.flac"
    assert ending("s3://b/t.x/A.FLAC") == ".flac"
    assert ending("s3://b/t.x/A") == ""


def test_no_client_of_a_store_is_needed_here(tmp_path):
    """And without it, locations on stores are one sentence."""
    code = (
        "import sys\nsys.modules['fsspec'] = None\nfrom whosings import storage\nfrom pathlib import Path\n"
        "storage.write_bytes('a.txt', b'x')\nassert storage.signature('a.txt').size == 1\n"
        "assert list(storage.walk('.')) == ['a.txt']\n"
        "with storage.fetched('a.txt') as path:\n    assert path == Path('a.txt')\n"
        "assert not {name for name in sys.modules if name.startswith(('fsspec.', 's3fs', 'gcsfs', 'botocore'))}\n"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path.cwd())}
    )


@pytest.mark.parametrize("package", ["fsspec", "s3fs"])
def test_what_is_not_installed_is_said(monkeypatch, package):
    monkeypatch.setattr("whosings.errors.find_spec", lambda name: None if name == package else find_spec(name))
    with pytest.raises(MissingExtraError, match=rf"{package}.*whosings\[scale\]"):
        signature("s3://bucket/a.flac")


def test_an_object_is_fetched_and_its_copy_goes(bucket, song, content):
    with fetched_as(song) as (path, found):
        assert path.read_bytes() == content
        assert path.suffix == ".flac"
    assert not path.parent.exists()
    assert found == signature(song)
    assert found.size == len(content)
    assert found.mark > 0
    assert bucket.asked("GET") == [f"GET /{bucket.name}/a/song.flac"]  # one request


def test_large_objects_come_in_pieces_of_one_version(bucket, song, content, in_small_pieces):
    assert read(song) == content
    assert len(bucket.asked("GET")) == 3


def test_names_may_hold_anything(bucket):
    for key in ("a b/ü & 100%.flac", "a#b?c=d.flac", "[x]*.flac", "a+b.flac", "a//b.flac"):
        location = bucket.put(key, key.encode())
        assert read(location) == key.encode(), key
    assert sorted(walk(bucket.url)) == sorted(
        f"{bucket.url}/{key}" for key in ("a b/ü & 100%.flac", "a#b?c=d.flac", "[x]*.flac", "a+b.flac", "a//b.flac")
    )


def test_empty_objects(bucket):
    assert read(bucket.put("empty.txt", b"")) == b""
    assert write_bytes(f"{bucket.url}/other.txt", b"").size == 0


def test_listing_is_sorted_paged_and_says_what_changes(bucket, song, monkeypatch):
    monkeypatch.setattr(object_stores, "_PAGE", 10)
    for number in range(12):
        bucket.put(f"many/{number:04d}", b"x")
    bucket.put("many/", b"")  # as consoles make folders
    bucket.put("many-others/1", b"x")
    found = listing(f"{bucket.url}/many")
    bucket.store.requests.clear()
    assert next(found).location == f"{bucket.url}/many/0000"
    assert len(bucket.store.requests) == 1  # the second page waits
    rest = [one.location for one in found]
    assert rest == [f"{bucket.url}/many/{number:04d}" for number in range(1, 12)]
    assert len(bucket.store.requests) == 2
    assert [one.signature for one in listing(f"{bucket.url}/a")] == [signature(song)]
    assert list(walk(f"{bucket.url}/none")) == []


def test_the_mark_is_of_the_content_not_of_a_clock(bucket, content):
    """Clocks of machines differ: the same bytes put again have the mark that they had, and others another one."""
    first = signature(bucket.put("a", content))
    assert signature(bucket.put("a", content)) == first
    other = signature(bucket.put("a", content[::-1]))
    assert other.size == first.size and other.mark != first.mark
    assert 0 <= other.mark < 2**63  # SQLite's integers


@pytest.mark.parametrize("kind", [500, 503, 429, "reset", "cut", "short", "damaged"])
def test_passing_faults_are_overcome(bucket, song, content, kind):
    bucket.fail(kind, "GET", times=2)
    assert read(song) == content
    assert len(bucket.asked("GET")) == 3


@pytest.mark.parametrize("kind", ["slow", "drip"])
def test_answers_that_take_too_long_are_asked_for_again(bucket, song, content, kind, monkeypatch):
    monkeypatch.setattr(object_stores, "_WAIT_S", 0.3)
    monkeypatch.setattr(object_stores, "_LEAST_BYTES_S", 3e6)
    bucket.fail(kind, "GET", times=1, seconds=2.0)
    assert read(song) == content
    assert len(bucket.asked("GET")) == 2


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (500, "the store answers InternalError"),
        ("reset", "the connection fails"),
        ("cut", "the connection fails|answer ends after"),
        ("short", "the answer ends after 150000 of 300000 bytes"),
    ],
)
def test_lasting_faults_are_one_sentence(bucket, song, kind, why):
    bucket.fail(kind, "GET")
    with pytest.raises(StorageError, match=f"could not be read in 5 tries .({why}).*; check network and store") as told:
        read(song)
    assert str(told.value).startswith(song)
    # No client below tries again by itself, but for aiohttp where a connection that it kept breaks.
    assert len(bucket.asked("GET")) in ({storage_faults.TRIES} if kind != "reset" else range(5, 11))
    assert "secret" not in str(told.value)


def test_a_lasting_damage_is_told(bucket, song):
    bucket.fail("damaged", "GET")
    with pytest.raises(StorageError, match="arrived with another MD5 than the store gives, 3 times"):
        read(song)


def test_checksums_that_the_store_keeps_are_checked(bucket, content):
    """As all objects have them that were put since 2025: also where the ETag is no MD5."""
    location = f"{bucket.url}/a"
    write_bytes(location, content)
    bucket.fail("damaged", "GET", times=1)
    assert read(location) == content
    bucket.fail("damaged", "GET")
    with pytest.raises(StorageError, match="another checksum than the store gives"):
        read(location)


def test_an_etag_that_is_no_md5_is_not_taken_for_one(bucket, content):
    """Of objects with keys of their own it looks like one: S3 says so in a header."""
    bucket.client.put_object(Bucket=bucket.name, Key="k", Body=content, ServerSideEncryption="aws:kms")
    bucket.fail("damaged", "GET", times=1)
    assert read(f"{bucket.url}/k") != content  # nothing can tell


@pytest.mark.parametrize(
    ("status", "code", "problem"),
    [
        (403, "AccessDenied", r"may not be read with these credentials \(AccessDenied\)"),
        (403, "InvalidAccessKeyId", "does not accept these credentials"),
        (403, "SignatureDoesNotMatch", "does not accept these credentials"),
        (403, "RequestTimeTooSkewed", "refuses this machine's clock"),
        (400, "ExpiredToken", "credentials have expired"),
        (301, "PermanentRedirect", "the bucket is in another region"),
        (404, "NoSuchBucket", "no such bucket"),
        (405, "MethodNotAllowed", "the store refuses the request"),
    ],
)
def test_refusals_are_not_tried_again(bucket, song, status, code, problem):
    bucket.fail(status, f"/{bucket.name}/a/", code=code)
    for ask in (read, signature):
        with pytest.raises(StorageError, match=problem) as told:
            ask(song)
        assert "secret of" not in str(told.value)
    assert len(bucket.asked("GET")) <= 4


def test_what_is_not_there(bucket):
    for ask in (read, signature):
        with pytest.raises(MissingObjectError, match="no such object"):
            ask(f"{bucket.url}/none.flac")
        with pytest.raises(StorageError, match="no such bucket"):
            ask("s3://no-such-bucket-here/a.flac")
    with pytest.raises(StorageError, match="no such bucket"):
        list(walk("s3://no-such-bucket-here/a"))
    with pytest.raises(StorageError, match="no such bucket"):
        write_bytes("s3://no-such-bucket-here/a", b"x")
    for location in ("s3://", "s3:///a", bucket.url):
        with pytest.raises(StorageError, match="names no object"):
            read(location)
    with pytest.raises(StorageError, match="nothing here opens moon://"):
        read("moon://a/b")


def test_secrets_are_never_shown(bucket, song):
    with pytest.raises(StorageError, match="holds a password") as told:
        read("s3://me:hunter2@bucket/a")
    assert "hunter2" not in str(told.value)
    bucket.fail(403, code="not-to-be-shown key")
    with pytest.raises(StorageError) as told:
        read(song)
    assert "not-to-be-shown" not in str(told.value)


def test_missing_credentials_are_said(bucket, song, monkeypatch):
    import s3fs

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(StorageError, match="needs credentials"):
        read(song)
    s3fs.S3FileSystem.clear_instance_cache()


def test_an_object_that_changes_while_it_is_read_is_told(bucket, song, content, in_small_pieces):
    """Not half of one and half of another, also where both are equally long."""
    changes = iter([lambda: None, lambda: bucket.put("a/song.flac", content[::-1])])
    bucket.fail("call", "GET", times=2, then=lambda: next(changes)())
    with pytest.raises(ChangedObjectError):
        read(song)


def test_a_full_disk_is_said(bucket, song, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "_download", full)
    with pytest.raises(StorageError, match=r"does not fit into .*TMPDIR"):
        read(song)


def test_what_is_put_is_there(bucket, tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    found = put(tmp_path / "a", f"{bucket.url}/r/a.csv")
    assert bucket.get("r/a.csv") == content and found == signature(f"{bucket.url}/r/a.csv")
    assert put(tmp_path / "a", (tmp_path / "b/c").as_uri()).size == len(content)
    assert (tmp_path / "b/c").read_bytes() == content


def test_conditions_of_writes(bucket, tmp_path):
    for place in (f"{bucket.url}/x", str(tmp_path / "x")):
        first = write_bytes(place, b"one", if_absent=True)
        with pytest.raises(ChangedObjectError):
            write_bytes(place, b"two", if_absent=True)
        assert read(place) == b"one"
        (tmp_path / "new").write_bytes(b"three")
        second = put(tmp_path / "new", place, if_unchanged=first)
        assert read(place) == b"three"
        with pytest.raises(ChangedObjectError):
            put(tmp_path / "new", place, if_unchanged=first)
        assert signature(place) == second


def test_somebody_who_writes_between_look_and_write_is_not_overwritten(bucket, tmp_path):
    first = write_bytes(f"{bucket.url}/x", b"one")
    (tmp_path / "new").write_bytes(b"mine")
    bucket.fail("call", "PUT", times=1, then=lambda: bucket.put("x", b"theirs"))
    with pytest.raises(ChangedObjectError):
        put(tmp_path / "new", f"{bucket.url}/x", if_unchanged=first)
    assert bucket.get("x") == b"theirs"


def test_a_write_whose_answer_is_lost_is_no_conflict_with_itself(bucket):
    bucket.fail("lost", "PUT", times=1)
    assert write_bytes(f"{bucket.url}/x", b"one", if_absent=True).size == 3
    assert bucket.get("x") == b"one"
    assert len(bucket.asked("PUT")) == 2


@pytest.mark.parametrize("kind", [500, "reset"])
def test_passing_faults_of_writes_are_overcome(bucket, kind):
    bucket.fail(kind, "PUT", times=2)
    write_bytes(f"{bucket.url}/x", b"one")
    assert bucket.get("x") == b"one"


def test_a_write_that_fails_leaves_what_was(bucket, tmp_path):
    bucket.put("x", b"former")
    bucket.fail(403, "PUT", code="AccessDenied")
    with pytest.raises(StorageError, match="may not be written"):
        write_bytes(f"{bucket.url}/x", b"new")
    assert bucket.get("x") == b"former"


def test_parts_that_were_written_are_taken_back(bucket, tmp_path, in_small_parts):
    """A half-written part: nobody sees it, and nobody pays for it."""
    data = os.urandom(12 << 20)
    (tmp_path / "a").write_bytes(data)
    bucket.put("x", b"former")
    bucket.fail(500, "partNumber=2")
    with pytest.raises(StorageError, match="could not be written in 5 tries"):
        put(tmp_path / "a", f"{bucket.url}/x")
    assert bucket.get("x") == b"former" and bucket.parts_left() == 0
    bucket.store.faults.clear()
    bucket.fail("reset", "partNumber=2", times=1)
    found = put(tmp_path / "a", f"{bucket.url}/x")
    assert bucket.get("x") == data and bucket.parts_left() == 0
    assert found == signature(f"{bucket.url}/x") and found.tag.endswith("-3")
    (tmp_path / "a").write_bytes(data[::-1])
    with pytest.raises(ChangedObjectError):
        put(tmp_path / "a", f"{bucket.url}/x", if_absent=True)
    assert bucket.get("x") == data and bucket.parts_left() == 0


def test_an_interruption_takes_parts_back(bucket, tmp_path, in_small_parts, monkeypatch):
    (tmp_path / "a").write_bytes(os.urandom(11 << 20))
    ask = object_stores._S3Store._ask

    def interrupted(self, location, action, method, size=0, /, **arguments):
        if method == "upload_part" and arguments["PartNumber"] == 2:
            raise KeyboardInterrupt
        return ask(self, location, action, method, size, **arguments)

    monkeypatch.setattr(object_stores._S3Store, "_ask", interrupted)
    with pytest.raises(KeyboardInterrupt):
        put(tmp_path / "a", f"{bucket.url}/x")
    assert bucket.parts_left() == 0


def test_other_stores_that_fsspec_knows(tmp_path):
    """By the same calls; this one is in memory."""
    pytest.importorskip("fsspec")
    first = write_bytes("memory://b/a.txt", b"hello", if_absent=True)
    assert read("memory://b/a.txt") == b"hello" and signature("memory://b/a.txt") == first
    assert [name_of(name) for name in walk("memory://b")] == ["a.txt"]
    with pytest.raises(ChangedObjectError):
        write_bytes("memory://b/a.txt", b"x", if_absent=True)
    with pytest.raises(MissingObjectError):
        read("memory://b/none")
    (tmp_path / "x").write_bytes(b"other")
    second = put(tmp_path / "x", "memory://b/a.txt", if_unchanged=first)
    with pytest.raises(ChangedObjectError):
        put(tmp_path / "x", "memory://b/a.txt", if_unchanged=first)
    assert signature("memory://b/a.txt") == second
