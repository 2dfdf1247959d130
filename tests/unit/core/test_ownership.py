"""Whose each entry of a proposed configuration is: as on the host, as those beside it, or as the manifest says."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from bot.core.plans.listing import ListedFile
from bot.core.readings.ownership import NotFit, assigned, rules, unused


def there(kind: str, whose: str) -> ListedFile:
    """An entry on the host, `root:dovecot 640`."""
    names, mode = whose.split()
    owner, group = names.split(":")
    return ListedFile(kind=kind, mode=int(mode, 8), owner=owner, group=group, changed=0)


HOST = {
    ".": there("d", "root:root 755"),
    "dovecot.conf": there("f", "root:root 644"),
    "local.conf": there("f", "root:root 644"),
    "sql.conf.ext": there("f", "root:dovecot 640"),
    "conf.d": there("d", "root:root 755"),
    "private": there("d", "root:dovecot 750"),
    "private/key.pem": there("f", "root:dovecot 640"),
    "certs": there("d", "root:root 2755"),
}


def given(*entries: str, manifest: str = "", like: Mapping[str, ListedFile] = HOST) -> dict[str, str]:
    """By path, `OWNER:GROUP MODE`; a folder is written with a slash at its end, a link with an @."""
    kinds = {".": "d"} | {one.rstrip("/@"): {"/": "d", "@": "l"}.get(one[-1], "f") for one in entries}
    return {path: str(one.owned) for path, one in assigned(kinds, like, rules(manifest)).items()}


def test_what_is_there_keeps_its_owner_its_group_and_its_mode() -> None:
    """A service that runs as dovecot reads what it could read before, and nobody reads what was closed."""
    entries = ["dovecot.conf", "sql.conf.ext", "private/", "private/key.pem", "certs/"]
    found = given(*entries)
    assert found == {path: f"{one.owner}:{one.group} {one.mode:o}" for path, one in HOST.items() if path in found}
    assert len(found) == len(entries) + 1


def test_the_folder_itself_keeps_its_own_too() -> None:
    assert given("dovecot.conf", like=HOST | {".": there("d", "root:mail 750")})["."] == "root:mail 750"


@pytest.mark.parametrize(
    ("entries", "path", "whose"),
    [
        (["new.conf"], "new.conf", "root:root 644"),
        (["private/", "private/new.pem"], "private/new.pem", "root:dovecot 640"),
        (["conf.d/", "conf.d/new.conf"], "conf.d/new.conf", "root:root 644"),
        (["private/", "private/a/", "private/a/new.pem"], "private/a/new.pem", "root:dovecot 640"),
        (["private/", "private/a/"], "private/a", "root:dovecot 750"),
        (["private/", "private/a/", "private/a/b/"], "private/a/b", "root:dovecot 750"),
        (["new.d/"], "new.d", "root:root 755"),
        (["private"], "private", "root:root 644"),
        (["sql.conf.ext/"], "sql.conf.ext", "root:root 755"),
        (["link@"], "link", "root:root 777"),
    ],
    ids=[
        "file",
        "file-in-private",
        "further-up",
        "in-a-new-folder",
        "folder",
        "deeper",
        "tie",
        "was-folder",
        "was-file",
        "link",
    ],
)
def test_what_is_new_is_as_most_of_its_kind_beside_it_or_else_further_up(
    entries: list[str], path: str, whose: str
) -> None:
    """A folder without others beside it, or with as many of one kind as of another, is as the one that it is in."""
    assert given(*entries)[path] == whose


def test_of_two_files_beside_it_a_new_one_is_as_the_one_that_fewer_may_read() -> None:
    host = HOST | {"private/open.pem": there("f", "root:root 644")}
    assert given("private/", "private/new.pem", like=host)["private/new.pem"] == "root:dovecot 640"


def test_where_there_is_no_file_at_all_to_go_by_a_file_is_as_its_folder() -> None:
    assert given("dovecot.conf", like={".": there("d", "root:mail 750")})["dovecot.conf"] == "root:mail 640"


MANIFEST = """\
# who reads what
vmail:vmail 750 sieve
vmail:vmail 640 sieve/
root:dovecot 0600 sieve/private/

root:dovecot 640 sieve/global key.conf
root:mail 750 .
"""


def test_the_manifest_says_otherwise_and_the_nearest_line_counts() -> None:
    """A folder with a slash stands for the files below it; folders are named by themselves."""
    entries = ["sieve/", "sieve/a", "sieve/sub/", "sieve/private/", "sieve/private/b", "sieve/global key.conf"]
    found = given(*entries, "dovecot.conf", manifest=MANIFEST)
    assert found == {
        ".": "root:mail 750",
        "dovecot.conf": "root:root 644",
        "sieve": "vmail:vmail 750",
        "sieve/a": "vmail:vmail 640",
        "sieve/global key.conf": "root:dovecot 640",
        "sieve/private": "vmail:vmail 750",
        "sieve/private/b": "root:dovecot 600",
        "sieve/sub": "vmail:vmail 750",
    }


def test_what_is_approved_of_a_manifest_is_its_lines_and_not_how_they_are_laid_out() -> None:
    told = "\n".join(map(str, rules(MANIFEST)))
    assert rules(told) == rules(MANIFEST)
    assert "\n".join(map(str, rules("\n".join(reversed(MANIFEST.splitlines()))))) == told


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("root 640 x", "this is not OWNER:GROUP MODE PATH"),
        ("root:root x", "this is not OWNER:GROUP"),
        ("root:root 9 x", "this is not OWNER:GROUP"),
        ("root:root 640", "this is not OWNER:GROUP"),
        (" root:root 640 x", "this is not OWNER:GROUP"),
        ("0:0 640 x", "this is not OWNER:GROUP"),
        ("root:root 640 /etc/passwd", "no path below the folder"),
        ("root:root 640 ../x", "no path below the folder"),
        ("root:root 640 a//b", "no path below the folder"),
        ("root:root 640 x\nroot:mail 640 x", "line 2: x is named twice"),
        ("root:root 4755 x", "nothing is setuid"),
        ("root:root 2755 x", "nothing is setuid"),
        ("root:root 646 x", "written by everybody"),
        ("root:root 777 x/", "written by everybody"),
    ],
)
def test_a_manifest_that_says_anything_else_is_refused_in_words(text: str, why: str) -> None:
    with pytest.raises(NotFit, match=why):
        rules(text)


def test_a_line_about_nothing_was_meant_for_something_else() -> None:
    kinds = {".": "d", "a": "d", "a/b": "f"}
    assert unused(rules("root:root 640 a/\nroot:root 750 a"), kinds) == ""
    assert unused(rules("root:root 640 a/\nroot:root 640 a/c"), kinds) == "root:root 640 a/c"
    assert unused(rules("root:root 640 a/b/"), kinds) == "root:root 640 a/b/"


@pytest.mark.parametrize(("whose", "why"), [("root:root 666", "written by everybody"), ("root:root 4755", "is setuid")])
def test_what_no_file_should_be_is_not_carried_over_from_the_host(whose: str, why: str) -> None:
    """Nor left out in silence: then it would not be as on the host."""
    with pytest.raises(NotFit, match=why):
        given("dovecot.conf", like=HOST | {"dovecot.conf": there("f", whose)})
    assert given("dovecot.conf", manifest="root:root 644 dovecot.conf", like=HOST | {"dovecot.conf": there("f", whose)})
