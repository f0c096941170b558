"""Jobs and CronJobs: the generated selector, what is refused, what stays, and schedules."""

from typing import Any

import pytest

from tests.store.rules.conftest import (
    NAME,
    UID,
    at,
    change_refusals,
    put,
    refusals,
    stored,
)

TEMPLATE: dict[str, Any] = {
    "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
}
JOB: dict[str, Any] = {"spec": {"template": TEMPLATE}}
CRON: dict[str, Any] = {
    "spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {"template": TEMPLATE}}}
}
INDEXED = put(put(JOB, "spec/completionMode", "Indexed"), "spec/completions", 3)
ZERO = "must be greater than or equal to 0"
IMMUTABLE = "field is immutable"


@pytest.mark.parametrize(
    ("kind", "where", "expected"),
    [
        pytest.param("Job", "spec/completions", 1, id="once"),
        pytest.param("Job", "spec/parallelism", 1, id="one at a time"),
        pytest.param("Job", "spec/backoffLimit", 6, id="six tries"),
        pytest.param("Job", "spec/completionMode", "NonIndexed", id="without numbers"),
        pytest.param("Job", "spec/suspend", False, id="at once"),
        pytest.param(
            "Job", "spec/podReplacementPolicy", "TerminatingOrFailed", id="replaced when they end"
        ),
        pytest.param("CronJob", "spec/concurrencyPolicy", "Allow", id="runs may overlap"),
        pytest.param("CronJob", "spec/successfulJobsHistoryLimit", 3, id="three successes kept"),
        pytest.param("CronJob", "spec/failedJobsHistoryLimit", 1, id="one failure kept"),
        pytest.param("CronJob", "spec/suspend", False, id="from now on"),
        pytest.param(
            "CronJob",
            "spec/jobTemplate/spec/template/spec/dnsPolicy",
            "ClusterFirst",
            id="the template of the template",
        ),
    ],
)
def test_what_a_job_leaves_out_is_filled_in(kind: str, where: str, expected: Any) -> None:
    """Defaults are upstream's."""
    assert at(stored(kind, JOB if kind == "Job" else CRON), where) == expected


def test_completions_stay_out_when_parallelism_is_given() -> None:
    """Then the job is a queue, of which nobody knows how long it is."""
    assert "completions" not in stored("Job", put(JOB, "spec/parallelism", 2))["spec"]


def test_job_selects_its_pods_by_its_uid() -> None:
    """Under the new names and the old ones; the job bears the labels too."""
    job = stored("Job", JOB)
    labels = {
        "batch.kubernetes.io/controller-uid": UID,
        "batch.kubernetes.io/job-name": NAME,
        "controller-uid": UID,
        "job-name": NAME,
    }
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": UID}}
    assert job["spec"]["template"]["metadata"]["labels"] == labels
    assert job["metadata"]["labels"] == labels


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        pytest.param(
            "spec/template/spec/restartPolicy",
            "Always",
            [
                'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'
            ],
            id="pods that never end",
        ),
        pytest.param(
            "spec/parallelism",
            -1,
            [f"spec.parallelism: Invalid value: -1: {ZERO}"],
            id="fewer than none at a time",
        ),
        pytest.param(
            "spec/completionMode",
            "Indexed",
            [],
            id="numbered pods, as many as the default says",
        ),
        pytest.param(
            "spec",
            {"completionMode": "Indexed", "parallelism": 1, "template": TEMPLATE},
            ["spec.completions: Required value: when completion mode is Indexed"],
            id="numbers without an end",
        ),
        pytest.param(
            "spec/backoffLimitPerIndex",
            1,
            ["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
            id="tries for each number, where there are none",
        ),
        pytest.param(
            "spec/managedBy",
            "me",
            [
                'spec.managedBy: Invalid value: "me": must be a domain-prefixed path (such as "acme.io/foo")'
            ],
            id="a manager without a domain",
        ),
        pytest.param(
            "spec/podFailurePolicy",
            {"rules": [{"action": "Ignore", "onExitCodes": {"operator": "In"}}]},
            [
                "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: null: at least one value is required"
            ],
            id="a policy about no exit codes",
        ),
        pytest.param(
            "spec/selector",
            {"matchLabels": {"a": "b"}},
            [
                'spec.selector: Invalid value: {"matchLabels":{"a":"b",'
                f'"batch.kubernetes.io/controller-uid":"{UID}"}}}}: `selector` not auto-generated',
                "spec.template.metadata.labels: Invalid value: "
                f'{{"batch.kubernetes.io/controller-uid":"{UID}","batch.kubernetes.io/job-name":"a",'
                f'"controller-uid":"{UID}","job-name":"a"}}: `selector` does not match template `labels`',
            ],
            id="a selector of one's own, which must be said to be one",
        ),
    ],
)
def test_a_job_that_cannot_end_is_refused(path: str, value: Any, expected: list[str]) -> None:
    """The sentences are those that clients know from upstream."""
    assert refusals("Job", put(JOB, path, value)) == expected


@pytest.mark.parametrize(
    ("body", "path", "value", "expected"),
    [
        pytest.param(JOB, "spec/parallelism", 3, [], id="how many at a time"),
        pytest.param(JOB, "spec/suspend", True, [], id="whether it waits"),
        pytest.param(
            JOB,
            "spec/completions",
            2,
            [f"spec.completions: Invalid value: 2: {IMMUTABLE}"],
            id="how often",
        ),
        pytest.param(
            INDEXED,
            "spec/completions",
            5,
            [
                "spec.completions: Invalid value: 5: can only be modified in tandem with spec.parallelism"
            ],
            id="how many numbers",
        ),
        pytest.param(
            JOB,
            "spec/completionMode",
            "Indexed",
            [f'spec.completionMode: Invalid value: "Indexed": {IMMUTABLE}'],
            id="whether they have numbers",
        ),
        pytest.param(
            put(JOB, "spec/suspend", True),
            "spec/template/spec/nodeSelector",
            {"a": "b"},
            [],
            id="where a job that waits will run",
        ),
    ],
)
def test_pods_of_a_job_are_all_alike(
    body: dict[str, Any], path: str, value: Any, expected: list[str]
) -> None:
    """What they are made from stays."""
    assert change_refusals("Job", body, path, value) == expected


def test_template_of_a_running_job_stays() -> None:
    """Also where its pods run."""
    path = "spec/template/spec/nodeSelector"
    (found,) = change_refusals("Job", JOB, path, {"a": "b"})
    assert found.startswith("spec.template: Invalid value: {")
    assert found.endswith(f": {IMMUTABLE}")


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        pytest.param("@hourly", None, id="a word"),
        pytest.param("0 9 * * mon-fri", None, id="names of days"),
        pytest.param("@every 1h30m", None, id="a period"),
        pytest.param(
            "* * * *", "expected exactly 5 fields, found 4: [* * * *]", id="a field is missing"
        ),
        pytest.param("60 * * * *", "end of range (60) above maximum (59): 60", id="no such minute"),
        pytest.param("*/0 * * * *", "step of range should be a positive number: */0", id="no step"),
        pytest.param(
            "x * * * *",
            'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax',
            id="no number",
        ),
        pytest.param("@never", "unrecognized descriptor: @never", id="an unknown word"),
        pytest.param(
            f"@every {'1' * 200_000}",
            f'failed to parse duration @every {"1" * 200_000}: time: missing unit in duration "{"1" * 200_000}"',
            id="a period that would take long to try",
        ),
    ],
)
def test_schedule_is_one_that_cron_understands(schedule: str, expected: str | None) -> None:
    """The complaints are those of the parser that upstream uses."""
    found = refusals("CronJob", put(CRON, "spec/schedule", schedule))
    quoted = schedule.replace('"', '\\"')
    wanted = [f'spec.schedule: Invalid value: "{quoted}": {expected}'] if expected else []
    assert found == wanted


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        pytest.param("spec/schedule", "", ["spec.schedule: Required value"], id="no schedule"),
        pytest.param(
            "spec/schedule",
            "TZ=UTC * * * * *",
            [
                'spec.schedule: Invalid value: "TZ=UTC * * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone '
                "field instead"
            ],
            id="a zone in the schedule",
        ),
        pytest.param(
            "spec/timeZone",
            "Local",
            [
                'spec.timeZone: Invalid value: "Local": timeZone must be an explicit time zone as defined in '
                "https://www.iana.org/time-zones"
            ],
            id="the zone of nobody knows what",
        ),
        pytest.param(
            "spec/timeZone",
            "a/" * 3000 + "a",
            [f'spec.timeZone: Invalid value: "{"a/" * 3000}a": unknown time zone {"a/" * 3000}a'],
            id="a zone in a very deep folder",
        ),
        pytest.param(
            "spec/concurrencyPolicy",
            "Maybe",
            [
                'spec.concurrencyPolicy: Unsupported value: "Maybe": supported values: "Allow", "Forbid", "Replace"'
            ],
            id="an unknown policy",
        ),
        pytest.param(
            "metadata",
            {"name": "a" * 53},
            [
                f'metadata.name: Invalid value: "{"a" * 53}": must be no more than 52 characters',
            ],
            id="a name that leaves no room",
        ),
        pytest.param(
            "spec/jobTemplate/spec/manualSelector",
            True,
            [
                'spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: "nil", "false"'
            ],
            id="jobs that select by themselves",
        ),
    ],
)
def test_a_cron_job_that_never_runs_is_refused(path: str, value: Any, expected: list[str]) -> None:
    """The sentences are those that clients know from upstream."""
    assert refusals("CronJob", put(CRON, path, value)) == expected
