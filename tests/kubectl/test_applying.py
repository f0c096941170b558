"""kubectl apply on both sides, one after the other, and with others at work; edit, diff and prune."""

import json
import re
from pathlib import Path

import pytest

from tests.kubectl.conftest import Kubectl
from tests.kubectl.test_writes import editor

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: d, labels: {app: d}}
spec:
  replicas: 1
  selector: {matchLabels: {app: d}}
  template:
    metadata: {labels: {app: d}}
    spec:
      containers:
      - {name: one, image: "i:1", env: [{name: A, value: "1"}]}
      - {name: two, image: "j:1"}
"""
LAST = "kubectl.kubernetes.io/last-applied-configuration"


def images(kubectl: Kubectl) -> list[str]:
    path = "jsonpath={.spec.template.spec.containers[*].image}"
    return kubectl("get", "deploy", "d", "-o", path).split()


def managers(kubectl: Kubectl) -> set[tuple[str, str]]:
    found = kubectl("get", "deploy", "d", "-o", "json", "--show-managed-fields")
    entries = json.loads(found)["metadata"]["managedFields"]
    return {(entry["manager"].partition(".")[0], entry["operation"]) for entry in entries}


def test_apply_moves_from_one_side_to_the_other_and_back(kubectl: Kubectl) -> None:
    """What kubectl has applied itself becomes its own on the server: no conflict, and what is left out goes."""
    assert kubectl("apply", "-f", "-", stdin=DEPLOYMENT) == "deployment.apps/d created"
    less = DEPLOYMENT.replace('      - {name: two, image: "j:1"}\n', "").replace("i:1", "i:2")
    shown = kubectl("apply", "--server-side", "-f", "-", stdin=less)
    assert shown == "deployment.apps/d serverside-applied"
    assert images(kubectl) == ["i:2"]
    # The annotation has a manager of its own, so that another tool may stop to keep it.
    assert managers(kubectl) == {("kubectl", "Apply"), ("kubectl-last-applied", "Apply")}
    last = json.loads(kubectl("apply", "view-last-applied", "deploy/d", "-o", "json"))
    assert last["spec"]["template"]["spec"]["containers"][0]["image"] == "i:2"
    # And back: the annotation that the server has kept up to date is what is compared with.
    assert kubectl("apply", "-f", "-", stdin=DEPLOYMENT).endswith(" configured")
    assert images(kubectl) == ["i:1", "j:1"]
    assert kubectl("apply", "-f", "-", stdin=DEPLOYMENT).endswith(" unchanged")


def test_apply_on_the_server_tells_who_owns_a_field(kubectl: Kubectl) -> None:
    """A scale is another manager, as it goes through a part of its own; forced, the field changes hands."""
    server = ("apply", "--server-side", "-f", "-")
    kubectl(*server, stdin=DEPLOYMENT)
    kubectl("scale", "deploy/d", "--replicas=5")
    refused = kubectl.fails(*server, stdin=DEPLOYMENT)
    said = r'with subresource "scale" using apps/v1: \.spec\.replicas'
    assert re.search(
        rf'Apply failed with 1 conflict: conflict with "kubectl[.\d]*" {said}', refused
    )
    assert "--force-conflicts" in refused
    kubectl(*server, "--force-conflicts", stdin=DEPLOYMENT)
    assert kubectl.json("get", "deploy", "d")["spec"]["replicas"] == 1
    refused = kubectl.fails(*server, "--field-manager=x", stdin=DEPLOYMENT.replace(":1", ":2"))
    assert "Apply failed with 2 conflicts: conflicts with" in refused
    assert '- .spec.template.spec.containers[name="one"].image' in refused


def test_diff_on_the_server_changes_nothing(kubectl: Kubectl) -> None:
    """It is a dry run of the apply, which owns nothing afterwards."""
    kubectl("apply", "--server-side", "-f", "-", stdin=DEPLOYMENT)
    before = managers(kubectl)
    done = kubectl.run("diff", "--server-side", "-f", "-", stdin=DEPLOYMENT.replace("i:1", "i:2"))
    assert done.returncode == 1, done.stderr
    assert "-      - image: i:1\n" in done.stdout or "-        image: i:1\n" in done.stdout
    same = kubectl.run("diff", "--server-side", "-f", "-", stdin=DEPLOYMENT)
    assert (same.returncode, same.stdout) == (0, "")
    assert (images(kubectl), managers(kubectl)) == (["i:1", "j:1"], before)


def test_last_applied_is_set_and_edited(kubectl: Kubectl) -> None:
    """The annotation alone, of an object that was made otherwise."""
    kubectl("create", "-f", "-", stdin=DEPLOYMENT)
    path = kubectl.folder / "d.yaml"
    path.write_text(DEPLOYMENT)
    refused = kubectl.fails("apply", "set-last-applied", "-f", "d.yaml")
    assert "no last-applied-configuration annotation found" in refused
    kubectl("apply", "set-last-applied", "-f", "d.yaml", "--create-annotation")
    variables = editor(kubectl.folder, "sed -i s/j:1/j:9/")
    kubectl("apply", "edit-last-applied", "deploy/d", variables=variables)
    assert "image: j:9" in kubectl("apply", "view-last-applied", "deploy/d")
    assert images(kubectl) == ["i:1", "j:1"]


@pytest.mark.parametrize(
    ("script", "says"),
    [
        pytest.param(
            "sed -i 's/replicas: 1/replicas: -1/'",
            'error: deployments.apps "d" is invalid',
            id="a value that is refused",
        ),
        pytest.param(
            "sed -i 's/replicas: 1/replicated: 1/'", "is invalid", id="a field that there is not"
        ),
    ],
)
def test_edit_opens_the_editor_again_when_it_is_refused(
    kubectl: Kubectl, script: str, says: str
) -> None:
    """With the reason above the text; what was written is kept for when the editor changes nothing more."""
    kubectl("create", "-f", "-", stdin=DEPLOYMENT)
    done = kubectl.run("edit", "deploy", "d", variables=editor(kubectl.folder, script))
    assert done.returncode == 1
    assert says in done.stderr
    (stored,) = re.findall(r'A copy of your changes has been stored to "(.*)"', done.stderr)
    assert "# " in Path(stored).read_text()
    assert kubectl.json("get", "deploy", "d")["spec"]["replicas"] == 1


def test_edit_of_a_part_changes_the_part(kubectl: Kubectl) -> None:
    """The status, which an edit of the whole leaves alone."""
    kubectl("create", "-f", "-", stdin=DEPLOYMENT)
    variables = editor(kubectl.folder, "sed -i 's/^status: {}/status: {observedGeneration: 7}/'")
    assert kubectl("edit", "deploy", "d", "--subresource=status", variables=variables)
    assert kubectl.json("get", "deploy", "d")["status"] == {"observedGeneration": 7}
    kubectl(
        "edit", "deploy", "d", variables=editor(kubectl.folder, "sed -i 's/eration: 7/eration: 8/'")
    )
    assert kubectl.json("get", "deploy", "d")["status"] == {"observedGeneration": 7}


def three(folder: Path, *names: str) -> None:
    for path in folder.glob("set/*"):
        path.unlink()
    (folder / "set").mkdir(exist_ok=True)
    for name in names:
        metadata = f"metadata: {{name: {name}, labels: {{in: set}}}}"
        (folder / "set" / f"{name}.yaml").write_text(
            f"apiVersion: v1\nkind: ConfigMap\n{metadata}\n"
        )


def test_prune_deletes_what_is_no_longer_in_the_files(kubectl: Kubectl) -> None:
    """By their label, among the kinds that are listed; what was made otherwise stays."""
    kubectl("create", "configmap", "other")
    kubectl("label", "cm", "other", "in=set")
    prune = ("apply", "-f", "set", "--prune", "-l", "in=set", "--prune-allowlist=core/v1/ConfigMap")
    three(kubectl.folder, "a", "b")
    assert kubectl(*prune).splitlines() == ["configmap/a created", "configmap/b created"]
    three(kubectl.folder, "a")
    assert kubectl(*prune).splitlines() == ["configmap/a unchanged", "configmap/b pruned"]
    assert kubectl("get", "cm", "-l", "in=set", "-o", "name").split() == [
        "configmap/a",
        "configmap/other",
    ]


def test_apply_set_prunes_by_its_parent(kubectl: Kubectl) -> None:
    """Its members are found by a label with the id of a Secret that lists their kinds."""
    variables = {"KUBECTL_APPLYSET": "true"}
    prune = ("apply", "-f", "set", "--prune", "--applyset=parent")
    three(kubectl.folder, "a", "b")
    kubectl(*prune, variables=variables)
    three(kubectl.folder, "b", "c")
    shown = kubectl(*prune, variables=variables).splitlines()
    assert sorted(shown) == ["configmap/a pruned", "configmap/b unchanged", "configmap/c created"]
    parent = kubectl.json("get", "secret", "parent")["metadata"]
    assert parent["annotations"]["applyset.kubernetes.io/contains-group-kinds"] == "ConfigMap"
    member = kubectl.json("get", "cm", "c")["metadata"]["labels"]
    assert member["applyset.kubernetes.io/part-of"] == parent["labels"]["applyset.kubernetes.io/id"]
