"""What is linked into antispoofd, as CycloneDX JSON; and that list held against what the compiler was given.

  sbom.py write TARGET FILE         from the resolver of cargo, and the manifests and the lock file
  sbom.py check TARGET FILE         against the messages of a build (standard input: cargo build --message-format json)
  sbom.py validate FILE             against CycloneDX's schema (needs cyclonedx-python-lib)
  sbom.py embedded FILE BINARY      against the list that cargo-auditable put into the binary: it must have all of it

cargo-cyclonedx and cargo-auditable read `cargo metadata`, whose features are those of the whole workspace together: they name crates that are not linked in.
"""

import json
import os
import re
import struct
import subprocess
import sys
import tomllib
import uuid
import zlib
from datetime import datetime, timezone

PACKAGE = "antispoofd"
LINKED = "normal,no-proc-macro"
COMPILED = "normal,build"


def write(target, path):
    packages = {(p["name"], p["version"]): p for p in json.loads(cargo("metadata", "--format-version", "1"))["packages"]}
    with open("Cargo.lock", "rb") as file:
        hashes = {(p["name"], p["version"]): p.get("checksum") for p in tomllib.load(file)["package"]}
    crates, edges = tree(target, LINKED)
    root = next(crate for crate in crates if crate[0] == PACKAGE)
    components = [component(packages[crate], hashes[crate]) for crate in sorted(crates) if crate != root]
    content = {
        "metadata": {
            "timestamp": moment(),
            "component": {**component(packages[root], None), "type": "application"},
            "properties": [
                {"name": "cdx:rustc:sbom:target:triple", "value": target},
                # Its standard library is linked in, too.
                {"name": "antispoofd:rustc", "value": run("rustc", "--version").strip()},
            ],
        },
        "components": components,
        "dependencies": [
            {"ref": purl(crate), "dependsOn": sorted(purl(other) for other in edges.get(crate, ()))} for crate in sorted(crates)
        ],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))
    document = {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{serial}", "version": 1, **content}
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1, ensure_ascii=False)
        file.write("\n")
    print(f"{path}: {len(components)} components of {PACKAGE} {root[1]} for {target}")


def check(target, path):
    named = named_in(path)
    linked, _ = tree(target, LINKED)
    compiled, _ = tree(target, COMPILED)
    differ("the document", named, "cargo tree", linked)
    # The compiler is asked for what the build needs as well (macros, build scripts); what was not compiled cannot have been linked.
    differ("cargo tree with what the build needs", compiled, "what was compiled", built(sys.stdin))
    print(f"{path}: the {len(named)} crates that cargo links; {len(compiled)} were compiled, all of them accounted for")


def validate(path):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    with open(path, encoding="utf-8") as file:
        problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(file.read())
    if problem:
        sys.exit(f"{path}: {problem}")
    print(f"{path}: valid CycloneDX 1.6")


def embedded(path, binary):
    packages = json.loads(zlib.decompress(section(binary, b".dep-v0")))["packages"]
    held = {(package["name"], package["version"]) for package in packages}
    missing = named_in(path) - held
    if missing:
        sys.exit(f"{binary} does not name: {words(missing)}")
    print(f"{binary}: names {len(held)} crates, among them all of {path}")


def component(package, checksum):
    crate = (package["name"], package["version"])
    found = {"type": "library", "bom-ref": purl(crate), "name": crate[0], "version": crate[1], "purl": purl(crate)}
    if package["description"]:
        found["description"] = " ".join(package["description"].split())
    if package["license"]:
        # "MIT/Apache-2.0" is how it was written before SPDX expressions.
        found["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if checksum:
        found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package["repository"]:
        found["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return found


def purl(crate):
    return f"pkg:cargo/{crate[0]}@{crate[1]}"


def moment():
    seconds = os.environ.get("SOURCE_DATE_EPOCH") or run("git", "log", "-1", "--format=%ct").strip()
    return datetime.fromtimestamp(int(seconds), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def tree(target, edges):
    """The crates, and for each what it uses."""
    lines = cargo("tree", "--package", PACKAGE, "--target", target, "--edges", edges, "--prefix", "depth", "--format", " {p}")
    crates, uses, above = set(), {}, []
    for line in lines.splitlines():
        depth, name, version = re.match(r"(\d+) (\S+) v(\S+)", line).groups()
        crate = (name, version)
        crates.add(crate)
        del above[int(depth):]
        if above:
            uses.setdefault(above[-1], set()).add(crate)
        above.append(crate)
    return crates, uses


def built(messages):
    crates = set()
    for line in messages:
        message = json.loads(line)
        if message["reason"] == "compiler-artifact":
            crates.add(identity(message["package_id"]))
    return crates


def identity(package_id):
    """`registry+…#name@version`; `path+file:///…/name#version` where the folder has the name."""
    before, after = package_id.rsplit("#", 1)
    name, _, version = after.rpartition("@")
    return (name or before.rsplit("/", 1)[-1], version)


def named_in(path):
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    return {(c["name"], c["version"]) for c in [document["metadata"]["component"], *document["components"]]}


def section(binary, name):
    """A section of a 64-bit little-endian ELF file."""
    with open(binary, "rb") as file:
        data = file.read()
    if data[:6] != b"\x7fELF\x02\x01":
        sys.exit(f"{binary} is no 64-bit little-endian ELF file")
    (start,) = struct.unpack_from("<Q", data, 40)
    size, count, names = struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQ", data, start + index * size) for index in range(count)]
    for header in headers:
        begin = headers[names][4] + header[0]
        if data[begin : data.index(b"\0", begin)] == name:
            return data[header[4] : header[4] + header[5]]
    sys.exit(f"{binary} has no section {name.decode()}: it was not built by cargo auditable")


def differ(one, left, other, right):
    if left != right:
        sys.exit(f"only in {one}: {words(left - right)}\nonly in {other}: {words(right - left)}")


def words(crates):
    return ", ".join(f"{name} {version}" for name, version in sorted(crates)) or "none"


def cargo(command, *arguments):
    return run("cargo", command, "--locked", *arguments)


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    {"write": write, "check": check, "validate": validate, "embedded": embedded}[sys.argv[1]](*sys.argv[2:])
