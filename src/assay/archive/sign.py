"""Signatures of archives as OpenSSH makes and checks them (SSHSIG), by its own program ssh-keygen."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from assay.errors import UsageError
from assay.text import clean

NAMESPACE = "assay-evidence"  # so that a signature of something else is none of evidence
_LIMIT = 120.0  # seconds; somebody may have to type a passphrase, or touch a key
_WHO = "evidence"
_KEY = re.compile(r"(?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+(?: .*)?")


def signature_of(file: Path) -> Path:
    """Return where the signature of a file is."""
    return file.with_name(f"{file.name}.sig")


def check_key(key: Path | None) -> None:
    """Raise UsageError if a key is not there, or nothing can sign with it."""
    if key is not None and not key.is_file():
        raise UsageError(f"there is no key {key}")
    if key is not None:
        _program()


def sign(file: Path, key: Path) -> Path:
    """Sign a file with an SSH private key, and return the signature's path; UsageError if it fails.

    A key of an agent or a hardware token is named by its public key, as for ssh-keygen.
    """
    target = signature_of(file)
    with file.open("rb") as content:
        done = _ssh_keygen(
            "-Y", "sign", "-f", str(key.resolve()), "-n", NAMESPACE, content=content.fileno()
        )
    if done.returncode:
        raise UsageError(f"{file} is written, and not signed: ssh-keygen says {_said(done)}")
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.write_bytes(done.stdout)
    temporary.replace(target)
    return target


def problem_of(file: Path, public_key: Path) -> str:
    """Return why the signature of a file is not one by this public key; '' if it is.

    Raises UsageError when there is no signature, or the key is none.
    """
    signature = signature_of(file)
    if not signature.is_file():
        raise UsageError(
            f"there is no signature {signature}",
            hint="`--sign KEY` makes one when the evidence is written.",
        )
    keys = _public_keys(public_key)
    with TemporaryDirectory(prefix="products-") as folder:
        allowed = Path(folder) / "allowed"
        allowed.write_text("".join(f"{_WHO} {key}\n" for key in keys))
        arguments = ("-Y", "verify", "-f", str(allowed), "-I", _WHO, "-n", NAMESPACE)
        with file.open("rb") as content:
            done = _ssh_keygen(*arguments, "-s", str(signature.resolve()), content=content.fileno())
    return "" if done.returncode == 0 else _said(done)


def _public_keys(file: Path) -> list[str]:
    """Return the public keys in a file, a line each."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the public key {file}: {error}") from None
    keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not keys or not all(_KEY.fullmatch(key) for key in keys):
        raise UsageError(
            f"{file} is not a public key of SSH", hint="It begins with ssh-ed25519, for one."
        )
    return keys


def _said(done: "subprocess.CompletedProcess[bytes]") -> str:
    """Return the first line that ssh-keygen said."""
    return clean(done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]) or "nothing"


def _program() -> str:
    program = shutil.which("ssh-keygen")
    if program is None:
        raise UsageError(
            "signatures are made and checked by ssh-keygen, which is not installed",
            hint="It is part of OpenSSH (8.2 or later): the package openssh-client, or openssh.",
        )
    return program


def _ssh_keygen(
    *arguments: str, content: int = subprocess.DEVNULL
) -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(
            [_program(), *arguments],
            stdin=content,
            capture_output=True,
            env={**os.environ, "LC_ALL": "C"},
            timeout=_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(f"ssh-keygen took longer than {_LIMIT:g} s") from None
