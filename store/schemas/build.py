"""Builds the compact schema file of one Kubernetes version from the facts about its types.

    python store/schemas/build.py types.json resources.json 1.36

writes `1.36.lines` (one type a line) and `1.36-resources.json` (the served kinds) beside this file. Supporting
another Kubernetes version means running this on that version's facts.
"""

import json
import pathlib
import sys
from typing import Any

HERE = pathlib.Path(__file__).parent
SHORT = {
    "listMapKeys": "keys",
    "listType": "list",
    "mapType": "map",
    "patchMergeKey": "pkey",
    "patchStrategy": "pstrat",
    "protoName": "pname",
}


def compact_field(field: dict[str, Any]) -> dict[str, Any]:
    """A field with the names of its facts shortened."""
    return {SHORT.get(key, key): value for key, value in field.items()}


def lines(facts: dict[str, Any]) -> list[str]:
    """One line for each type, `name<TAB>json`, in order of names; messages without a JSON type come as `proto:`."""
    out = []
    for name, facts_of_type in facts["types"].items():
        entry = dict(facts_of_type)
        if "fields" in entry:
            entry["fields"] = {key: compact_field(value) for key, value in entry["fields"].items()}
        out.append(f"{name}\t{json.dumps(entry, separators=(',', ':'), sort_keys=True)}")
    for name, message in facts["protoOnly"].items():
        out.append(f"proto:{name}\t{json.dumps(message, separators=(',', ':'), sort_keys=True)}")
    return sorted(out)


def main(types: str, resources: str, version: str) -> None:
    """Writes the two files of a version."""
    facts = json.loads(pathlib.Path(types).read_text("utf-8"))
    served = json.loads(pathlib.Path(resources).read_text("utf-8"))
    text = "\n".join(lines(facts)) + "\n"
    (HERE / f"{version}.lines").write_text(text, "utf-8")
    types_of = {
        tuple(gvk): name for name, entry in facts["types"].items() for gvk in entry.get("gvk", ())
    }
    for row in served:
        row["type"] = types_of[row["group"], row["version"], row["kind"]]
    rows = ",\n".join(json.dumps(row, separators=(",", ":"), sort_keys=True) for row in served)
    (HERE / f"{version}-resources.json").write_text(f"[\n{rows}\n]\n", "utf-8")
    print(f"{version}: {len(text)} bytes of types, {len(served)} served kinds")


if __name__ == "__main__":
    main(*sys.argv[1:])
