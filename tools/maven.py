"""Where are the jars that a pom names? In the user's cache folder, fetched through Maven by their coordinates."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

from tools.server_process import ServerError


def jars(pom: Path, name: str) -> Path:
    """Return the folder of a pom's runtime jars, fetching them unless the cache folder `name` holds what it asks for.

    Raises:
        ServerError: Java or Maven is missing, or Maven fails.
    """
    require("java", "a Java 17 runtime (Debian: openjdk-17-jre-headless)")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vbpr" / name
    cache.mkdir(parents=True, exist_ok=True)
    libs, fetched = cache / "libs", cache / "pom.xml"
    wanted = pom.read_bytes()
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (fetched.exists() and fetched.read_bytes() == wanted and libs.is_dir()):
            fetched.unlink(missing_ok=True)
            shutil.rmtree(libs, ignore_errors=True)
            _copy(pom, libs)
            fetched.write_bytes(wanted)  # last, so that a broken fetch is begun anew
    return libs


def _copy(pom: Path, libs: Path) -> None:
    require("mvn", "Apache Maven (Debian: maven)")
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={libs}"]
    done = subprocess.run(
        ["mvn", "-q", "-B", "-f", str(pom), *goal], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ServerError(f"Maven could not fetch what {pom.name} names:\n{done.stdout}{done.stderr}")


def compile_java(source: Path, into: Path, class_path: str) -> None:
    """Compile a source with the compiler on the class path, `org.eclipse.jdt:ecj`: a runtime alone has none.

    Raises:
        ServerError: it does not compile.
    """
    making = into.with_name(f"{into.name}.{os.getpid()}")
    compiler = ["java", "-cp", class_path, "org.eclipse.jdt.internal.compiler.batch.Main"]
    done = subprocess.run(
        [*compiler, "-17", "-nowarn", "-d", str(making), "-cp", class_path, str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ServerError(f"{source.name} does not compile:\n{done.stdout}{done.stderr}")
    try:
        making.rename(into)
    except OSError:  # another process was quicker, with the same
        shutil.rmtree(making)


def require(program: str, what: str) -> None:
    """Refuse to go on without a program.

    Raises:
        ServerError: it is not on the path.
    """
    if shutil.which(program) is None:
        raise ServerError(f"`{program}` is missing: install {what}")
