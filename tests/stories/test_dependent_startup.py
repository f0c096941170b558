"""A deployment waits for a job: its init container looks at the job with an account of its own."""

import pytest

from tests.identity.https import Api
from tests.kubectl.conftest import Kubectl
from tests.stories.conftest import as_token, token_in

JOB = """\
apiVersion: batch/v1
kind: Job
metadata:
  name: go-todo-pre-deploy
  namespace: go-todo
  labels:
    app: go-todo
    tier: job
spec:
  template:
    spec:
      containers:
        - name: pre-deploy
          image: docker.io/teniolafatunmbi/go-todo
          command:
            [
              "sh",
              "-c",
              'migrate -source file:///app/internal/database/migrations -database "postgres://$DB_HOST" up',
            ]
          envFrom:
            - configMapRef:
                name: go-todo-config
      restartPolicy: Never
"""
POD_SPEC = """\
serviceAccountName: go-todo-sa
initContainers:
  - name: wait-for-go-todo-pre-deploy
    image: ghcr.io/groundnuty/k8s-wait-for:v2.0
    imagePullPolicy: Always
    args:
      - "job"
      - "go-todo-pre-deploy"
containers:
  - name: go-todo
    image: docker.io/teniolafatunmbi/go-todo
    ports:
      - containerPort: 9000
    envFrom:
      - configMapRef:
          name: go-todo-config
    readinessProbe:
      httpGet:
        path: /todos
        port: 9000
      initialDelaySeconds: 3
      periodSeconds: 3
    livenessProbe:
      httpGet:
        path: /
        port: 9000
      initialDelaySeconds: 3
      periodSeconds: 3
"""


def indented(text: str, by: int) -> str:
    """A block further to the right."""
    return "".join(" " * by + line for line in text.splitlines(keepends=True))


DEPLOYMENT = f"""\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: go-todo-deployment
  namespace: go-todo
  labels:
    app: go-todo
    tier: application
spec:
  selector:
    matchLabels:
      app: go-todo
      tier: application
  template:
    metadata:
      name: go-todo-app
      labels:
        app: go-todo
        tier: application
    spec:
{indented(POD_SPEC, 6)}"""
ACCOUNT = """\
apiVersion: v1
kind: ServiceAccount
metadata:
  name: go-todo-sa
  namespace: go-todo

---
kind: Role
apiVersion: rbac.authorization.k8s.io/v1
metadata:
  namespace: go-todo
  name: pod-reader
rules:
  - apiGroups: ["", "batch"]
    resources: ["pods", "jobs"]
    verbs: ["get", "list", "watch"]

---
kind: RoleBinding
apiVersion: rbac.authorization.k8s.io/v1
metadata:
  name: read-pods
  namespace: go-todo
subjects:
  - kind: ServiceAccount
    name: go-todo-sa
    namespace: go-todo
roleRef:
  kind: Role
  name: pod-reader
  apiGroup: rbac.authorization.k8s.io
"""
POD = f"""\
apiVersion: v1
kind: Pod
metadata:
  name: go-todo-app
  namespace: go-todo
spec:
{indented(POD_SPEC, 2)}"""


@pytest.fixture(scope="module")
def applied(kubectl: Kubectl) -> str:
    """What kubectl says while all of it is applied, the pod that the deployment would make included."""
    kubectl("create", "namespace", "go-todo")
    text = "---\n".join((JOB, DEPLOYMENT, ACCOUNT, POD))
    return kubectl("apply", "-n", "go-todo", "-f", "-", stdin=text)


def test_manifests_are_applied(kubectl: Kubectl, applied: str) -> None:
    """As they stand in the story; a second time changes nothing."""
    assert applied.splitlines() == [
        "job.batch/go-todo-pre-deploy created",
        "deployment.apps/go-todo-deployment created",
        "serviceaccount/go-todo-sa created",
        "role.rbac.authorization.k8s.io/pod-reader created",
        "rolebinding.rbac.authorization.k8s.io/read-pods created",
        "pod/go-todo-app created",
    ]
    text = "---\n".join((JOB, DEPLOYMENT, ACCOUNT, POD))
    again = kubectl("apply", "-n", "go-todo", "-f", "-", stdin=text).splitlines()
    assert all(line.endswith(" unchanged") or line.startswith("pod/") for line in again)


def test_default_account_may_not_look(kubectl: Kubectl, api: Api, applied: str) -> None:
    """Without an account of its own the init container reads this error, and waits for ever."""
    as_default = as_token(kubectl, api.token("default", "default"))
    assert as_default.fails("get", "services") == (
        'Error from server (Forbidden): services is forbidden: User "system:serviceaccount:default:default" cannot '
        'list resource "services" in API group "" in the namespace "default"'
    )


def test_account_of_the_deployment_may_look(kubectl: Kubectl, api: Api, applied: str) -> None:
    """Pods and jobs of its namespace, with the token that its pod finds; services not, and nothing is changed."""
    spec = kubectl.json("get", "pod", "go-todo-app", "-n", "go-todo")["spec"]
    names = [c["name"] for c in (*spec["initContainers"], *spec["containers"])]
    mounts = [c["volumeMounts"] for c in (*spec["initContainers"], *spec["containers"])]
    assert names == ["wait-for-go-todo-pre-deploy", "go-todo"]
    assert all(len(mount) == 1 for mount in mounts)
    waits = as_token(kubectl, token_in(api, "go-todo", "go-todo-app"))
    found = waits("get", "job", "go-todo-pre-deploy", "-n", "go-todo", "-o", "name")
    assert found == "job.batch/go-todo-pre-deploy"
    assert "go-todo-app" in waits("get", "pods", "-n", "go-todo")
    for command in (
        "get services -n go-todo",
        "get pods -n default",
        "delete job go-todo-pre-deploy -n go-todo",
        "get secrets -n go-todo",
    ):
        assert "is forbidden" in waits.fails(*command.split()), command
