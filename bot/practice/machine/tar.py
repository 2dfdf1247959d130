"""`tar` on a pretend disk: only to unpack what is sent, as procedures do."""

import io
import tarfile
from datetime import UTC, datetime

from bot.practice.machine.files import KNOWN, Directory, Disk, File, Link, Node
from bot.practice.values import Answer, Call, failed


async def tar(disk: Disk, call: Call) -> Answer:
    """`tar --extract --directory=DIRECTORY --file=-`, with the owners of the archive or without."""
    data = await call.stdin.read()
    match call.args:
        case ("--extract", directory, "--same-owner", "--same-permissions", "--file=-"):
            owners = True
        case ("--extract", directory, "--no-same-owner", "--file=-"):
            owners = False
        case _:
            return failed(64, f"tar: not understood here: {' '.join(call.args)}")
    into = directory.removeprefix("--directory=")
    if not isinstance(disk.look(into), Directory):
        return failed(
            2, f"tar: {into}: Cannot open: No such file or directory", "tar: Error is not recoverable: exiting now"
        )
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            # Read as a whole before anything is placed would be kinder than tar is: it leaves what came before.
            for member in archive:
                if ".." in member.name.split("/"):
                    return failed(2, f"tar: {member.name}: Member name contains '..'")
                _place(disk, f"{into}/{member.name}", _whose(_node(data, member, owners=owners), member, owners=owners))
    except tarfile.ReadError:
        what = "Unexpected EOF in archive" if data else "This does not look like a tar archive"
        return failed(2, f"tar: {what}", "tar: Exiting with failure status due to previous errors")
    return Answer()


def _node(data: bytes, member: tarfile.TarInfo, *, owners: bool) -> Node:
    """What a member makes: of a file that is cut off, the blocks that came, for its owner to be alone."""
    if member.isdir():
        return Directory(mode=member.mode & 0o7777)
    if member.issym():
        return Link(target=member.linkname)
    came = (len(data) - member.offset_data) // tarfile.BLOCKSIZE * tarfile.BLOCKSIZE
    return File(
        data=data[member.offset_data : member.offset_data + min(member.size, came)],
        mode=member.mode & (0o700 if owners and came < member.size else 0o7777),
        changed=datetime.fromtimestamp(member.mtime, UTC),
    )


def _whose(node: Node, member: tarfile.TarInfo, *, owners: bool) -> Node:
    """As root's tar has it: a name that is not known here gives way to the number."""
    if owners:
        node.owner = member.uname if member.uname in KNOWN else str(member.uid or "root")
        node.group = member.gname if member.gname in KNOWN else str(member.gid or "root")
    return node


def _place(disk: Disk, path: str, node: Node) -> None:
    there = disk.look(path)
    if isinstance(node, Directory) and isinstance(there, Directory):
        there.mode, there.owner, there.group = node.mode, node.owner, node.group
        return
    if disk.parent(path) is None:
        disk.make_directory(path.rstrip("/").rpartition("/")[0])
    disk.place(path, node)
