"""Signatures that OpenSSH's own program makes and checks."""

import subprocess
from pathlib import Path

import pytest

from assay.archive import sign as signing
from assay.archive.sign import NAMESPACE, problem_of, sign
from assay.errors import UsageError


def key(folder: Path, name: str, *kind: str) -> Path:
    command = ["ssh-keygen", "-q", "-N", "", "-C", "", "-f", str(folder / name), *kind]
    subprocess.run(command, check=True)
    return folder / name


@pytest.mark.parametrize("kind", [("-t", "ed25519"), ("-t", "ecdsa"), ("-t", "rsa", "-b", "2048")])
def test_a_signature_is_of_one_file_by_one_key(tmp_path: Path, kind: tuple[str, ...]) -> None:
    file = tmp_path / "june evidence.zip"
    file.write_bytes(b"evidence")
    ours, other = key(tmp_path, "ours", *kind), key(tmp_path, "other", "-t", "ed25519")
    signature = sign(file, ours)
    assert signature.name == "june evidence.zip.sig"
    assert problem_of(file, ours.with_suffix(".pub")) == ""
    assert problem_of(file, other.with_suffix(".pub"))
    allowed = tmp_path / "allowed"
    allowed.write_text(f"cfo {ours.with_suffix('.pub').read_text()}")
    command = ["ssh-keygen", "-Y", "verify", "-f", str(allowed), "-I", "cfo", "-n", NAMESPACE]
    with file.open("rb") as content:
        done = subprocess.run([*command, "-s", str(signature)], stdin=content, check=False)
    assert done.returncode == 0, "anybody can check it without Assay"
    file.write_bytes(b"Evidence")
    assert problem_of(file, ours.with_suffix(".pub"))


def test_what_cannot_be_signed_or_checked_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "e.zip"
    file.write_bytes(b"evidence")
    (tmp_path / "nokey").write_text("no key")
    with pytest.raises(UsageError, match="is written, and not signed: ssh-keygen says"):
        sign(file, tmp_path / "nokey")
    with pytest.raises(UsageError, match="there is no signature"):
        problem_of(file, tmp_path / "nokey")
    (tmp_path / "e.zip.sig").write_text("no signature")
    with pytest.raises(UsageError, match="is not a public key of SSH"):
        problem_of(file, tmp_path / "nokey")
    (tmp_path / "k.pub").write_text('ssh-ed25519 AAAA cert-authority\n* "x" ssh-rsa AAAA')
    with pytest.raises(UsageError, match="is not a public key of SSH"):
        problem_of(file, tmp_path / "k.pub")
    monkeypatch.setattr(signing.shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match="which is not installed") as error:
        signing.check_key(file)
    assert "openssh-client" in error.value.hint
