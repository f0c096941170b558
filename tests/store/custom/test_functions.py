"""store/custom/functions.py: what rules know of quantities, versions, addresses, networks, URLs, sets and texts."""

from typing import Any

import pytest
from verger.store.custom.rules import judge
from verger.store.custom.schema import MISSING, Node

TRUE = [
    ("1", "quantity(self) == quantity('1000m')"),
    ("1Gi", "quantity(self).isGreaterThan(quantity('1G')) && quantity(self).compareTo(quantity('1024Mi')) == 0"),
    ("1500m", "quantity(self).add(1).sub(quantity('500m')).isInteger() && !quantity(self).isInteger()"),
    ("-3", "quantity(self).sign() == -1 && quantity(self).asInteger() == -3 && quantity(self).asApproximateFloat() < 0.0"),
    ("x", "!isQuantity(self)"),
    ("1.2.3", "isSemver(self) && semver(self).major() == 1 && semver(self).minor() == 2 && semver(self).patch() == 3"),
    ("1.0.0-alpha.10", "semver(self).isGreaterThan(semver('1.0.0-alpha.2')) && semver(self).isLessThan(semver('1.0.0'))"),
    ("v1", "!isSemver(self) && isSemver(self, true) && semver(self, true) == semver('1.0.0')"),
    ("10.1.2.3", "isIP(self) && ip(self).family() == 4 && ip(self).isGlobalUnicast() && !ip(self).isLoopback()"),
    ("::1", "ip(self).family() == 6 && ip(self).isLoopback() && ip.isCanonical(self)"),
    ("::0001", "isIP(self) && !ip.isCanonical(self) && ip(self) == ip('::1')"),
    ("::ffff:1.2.3.4", "!isIP(self)"),
    ("224.0.0.1", "ip(self).isLinkLocalMulticast() && !ip(self).isLinkLocalUnicast() && !ip(self).isUnspecified()"),
    ("10.2.3.4/8", "isCIDR(self) && cidr(self).prefixLength() == 8 && cidr(self).ip() == ip('10.2.3.4') && cidr(self).masked() == cidr('10.0.0.0/8')"),
    ("10.0.0.0/8", "cidr(self).containsIP('10.1.1.1') && !cidr(self).containsIP(ip('11.1.1.1')) && cidr(self).containsCIDR('10.1.0.0/16') && !cidr(self).containsCIDR(cidr('0.0.0.0/0'))"),
    ("10.0.0.0", "!isCIDR(self)"),
    ("https://[::1]:80/a%20b?x=1&x=2", "isURL(self) && url(self).getScheme() == 'https' && url(self).getHost() == '[::1]:80' && url(self).getHostname() == '::1' && url(self).getPort() == '80'"),
    ("https://a/b%20c?x=1&x=2", "url(self).getEscapedPath() == '/b%20c' && url(self).getQuery()['x'] == ['1', '2'] && url(self).getPort() == ''"),
    ("a", "!isURL(self) && isURL('/' + self)"),
    ("a12b3", "self.find('[0-9]+') == '12' && self.findAll('[0-9]+') == ['12', '3'] && self.findAll('[0-9]', 1) == ['1'] && self.find('x') == ''"),
    ("a", "sets.contains(['b', 'a'], [self]) && sets.equivalent(['a', 'a'], [self]) && sets.intersects(['a'], [self]) && !sets.intersects(['b'], [self])"),
    ([1, 2, 2], "self.isSorted() && self.sum() == 5 && self.min() == 1 && self.max() == 2"),
    ([2, 1], "!self.isSorted()"),
]  # fmt: skip


def said(rule: str, value: Any, old: Any = MISSING, **more: Any) -> list[str]:
    """What the rule says of the value."""
    sort = "array" if isinstance(value, list) else "integer" if isinstance(value, int) else "string"
    node = Node({"type": sort, "x-kubernetes-validations": [{"rule": rule, **more}]})
    return [error.body for error in judge(node, value, old, [])]


@pytest.mark.parametrize(("value", "rule"), TRUE, ids=lambda value: str(value)[:60])
def test_a_rule_holds_and_its_opposite_does_not(value: Any, rule: str) -> None:
    """Both are asked, so that a rule that is not understood is found out."""
    assert said(rule, value) == []
    assert len(said(f"!({rule})", value)) == 1


@pytest.mark.parametrize("rule", ["quantity(self).sign() == 1", "ip(self).family() == 4", "cidr(self).prefixLength() == 1", "semver(self).major() == 1", "url(self).getPort() == ''"])  # fmt: skip
def test_what_cannot_be_read_breaks_the_rule(rule: str) -> None:
    """The reason stands before the rule."""
    [error] = said(rule, "x")
    assert error.endswith(f" evaluating rule: {rule}")


@pytest.mark.parametrize(
    ("old", "wanted"),
    [
        pytest.param(MISSING, [], id="nothing before"),
        pytest.param(4, [], id="less before"),
        pytest.param(6, ["Invalid value: 5: was 6"], id="more before"),
    ],
)
def test_an_optional_past_is_asked_about(old: Any, wanted: list[str]) -> None:
    """optionalOldSelf: the rule holds at creation too, and its message knows the past as well."""
    rule = "!oldSelf.hasValue() || self >= oldSelf.value() // never falls"
    message = "'was ' + string(oldSelf.value())"
    assert said(rule, 5, old, optionalOldSelf=True, messageExpression=message) == wanted
