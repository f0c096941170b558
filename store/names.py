"""What names, labels and keys may look like. Every function returns complaints, none when all is well.

The sentences are compatibility facts: clients and their tests match on them.
"""

import re
from typing import Final

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = _LABEL + r"(\." + _LABEL + ")*"
_QUALIFIED: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_1035: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_CONFIG_KEY: Final = "[-._a-zA-Z0-9]+"

_label = re.compile(_LABEL).fullmatch
_subdomain = re.compile(_SUBDOMAIN).fullmatch
_qualified = re.compile(_QUALIFIED).fullmatch
_label_value = re.compile(f"({_QUALIFIED})?").fullmatch
_label_1035 = re.compile(_LABEL_1035).fullmatch
_config_key = re.compile(_CONFIG_KEY).fullmatch

SUBDOMAIN_MAX: Final = 253
LABEL_MAX: Final = 63

_SUBDOMAIN_TEXT: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    f"and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_LABEL_TEXT: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    f"with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_LABEL_1035_TEXT: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    f"'{_LABEL_1035}')"
)
_QUALIFIED_TEXT: Final = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    f"(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_QUALIFIED}')"
)
_LABEL_VALUE_TEXT: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'({_QUALIFIED})?')"
)
_CONFIG_KEY_TEXT: Final = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  "
    f"or 'key-name', regex used for validation is '{_CONFIG_KEY}')"
)


def _size(text: str) -> int:
    """Upstream speaks of characters and counts bytes."""
    return len(text.encode())


def subdomain(name: str) -> list[str]:
    """A DNS-1123 subdomain: most names."""
    if len(name) <= SUBDOMAIN_MAX and _subdomain(name):
        return []
    errors = []
    if _size(name) > SUBDOMAIN_MAX:
        errors.append(f"must be no more than {SUBDOMAIN_MAX} characters")
    if not _subdomain(name):
        errors.append(_SUBDOMAIN_TEXT)
    return errors


def label(name: str) -> list[str]:
    """A DNS-1123 label: names of namespaces."""
    if len(name) <= LABEL_MAX and _label(name):
        return []
    errors = []
    if _size(name) > LABEL_MAX:
        errors.append(f"must be no more than {LABEL_MAX} characters")
    if not _label(name):
        errors.append("must not contain dots" if _subdomain(name) else _LABEL_TEXT)
    return errors


def label_1035(name: str) -> list[str]:
    """A DNS-1035 label: names of services."""
    errors = []
    if _size(name) > LABEL_MAX:
        errors.append(f"must be no more than {LABEL_MAX} characters")
    if not _label_1035(name):
        errors.append(_LABEL_1035_TEXT)
    return errors


def path_segment(name: str) -> list[str]:
    """Anything that can stand between two slashes of a path: names of RBAC objects."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{char}'" for char in "/%" if char in name]


def path_segment_prefix(name: str) -> list[str]:
    """The beginning of a path segment, as in generateName."""
    return [f"may not contain '{char}'" for char in "/%" if char in name]


def qualified(name: str) -> list[str]:
    """A qualified name, `[prefix/]name`: label and annotation keys, finalizers."""
    if len(name) <= LABEL_MAX and _qualified(name):
        return []
    parts = name.split("/")
    errors = []
    if len(parts) > 2:
        return [
            f"a valid label key {_QUALIFIED_TEXT} with an optional DNS subdomain prefix and '/' "
            "(e.g. 'example.com/MyName')"
        ]
    if len(parts) == 2:
        if not parts[0]:
            errors.append("prefix part must be non-empty")
        else:
            errors += [f"prefix part {text}" for text in subdomain(parts[0])]
    part = parts[-1]
    if not part:
        errors.append("name part must be non-empty")
    elif _size(part) > LABEL_MAX:
        errors.append(f"name part must be no more than {LABEL_MAX} bytes")
    if not _qualified(part):
        errors.append(f"name part {_QUALIFIED_TEXT}")
    return errors


def label_value(value: str) -> list[str]:
    """The value of a label."""
    if len(value) <= LABEL_MAX and _label_value(value):
        return []
    errors = []
    if _size(value) > LABEL_MAX:
        errors.append(f"must be no more than {LABEL_MAX} bytes")
    if not _label_value(value):
        errors.append(_LABEL_VALUE_TEXT)
    return errors


def config_key(key: str) -> list[str]:
    """A key of a Secret's or a ConfigMap's data."""
    if len(key) <= SUBDOMAIN_MAX and _config_key(key) and not key.startswith("."):
        return []
    errors = []
    if _size(key) > SUBDOMAIN_MAX:
        errors.append(f"must be no more than {SUBDOMAIN_MAX} characters")
    if not _config_key(key):
        errors.append(_CONFIG_KEY_TEXT)
    if key == ".":
        errors.append("must not be '.'")
    elif key == "..":
        errors.append("must not be '..'")
    elif key.startswith(".."):
        errors.append("must not start with '..'")
    return errors
