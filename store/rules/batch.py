"""Jobs and CronJobs.

upstream: pkg/apis/batch/validation, pkg/apis/batch/v1/defaults.go, pkg/registry/batch
"""

from collections.abc import Mapping
from typing import Any, Final

from verger.store import names
from verger.store.invalid import (
    Cause,
    FieldError,
    immutable,
    invalid,
    not_supported,
    required,
    too_long,
    too_many,
)
from verger.store.objects import Object, labels_of, name_of, uid_of
from verger.store.rules import labelselectors, podspecs, schedules, values
from verger.store.rules.values import EMPTY, Json, maybe_one_of, nonnegative, one_of
from verger.store.rules.workloads import WorkloadRules, mismatch

BACKOFF: Final = 6
UID_LABEL: Final = "batch.kubernetes.io/controller-uid"
NAME_LABEL: Final = "batch.kubernetes.io/job-name"
LEGACY_UID_LABEL: Final = "controller-uid"
LEGACY_NAME_LABEL: Final = "job-name"
CRON_NAME_MAX: Final = 52
"""Jobs get eleven characters more, and their names are labels. upstream: ValidateCronJobCreate"""

_INDEXED_PARALLELISM_MAX: Final = 100_000
_MANAGER_MAX: Final = 63
_RULES_MAX: Final = 20
_MODES: Final = ("NonIndexed", "Indexed")
_FROZEN: Final = (
    "selector", "template", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy",
    "successPolicy",
)  # fmt: skip
_SCHEDULING: Final = ("nodeSelector", "tolerations", "schedulingGates")


class JobRules(WorkloadRules):
    """Pods that run to their end. Unless it has a selector of its own, a job selects by its uid."""

    own_field_converter: bool = True
    field_labels: tuple[str, ...] = ("status.successful",)
    condition_times: tuple[str, ...] = ("lastProbeTime", "lastTransitionTime")

    def field(self, obj: Mapping[str, Any], name: str) -> str:
        """How many pods succeeded."""
        if name == "status.successful":
            return str((obj.get("status") or EMPTY).get("succeeded") or 0)
        return WorkloadRules.field(self, obj, name)

    def default_spec(self, spec: Object) -> None:
        """One pod, once."""
        if spec.get("parallelism") is None:
            if spec.get("completions") is None:
                spec["completions"] = 1
            spec["parallelism"] = 1
        spec.setdefault("backoffLimit", BACKOFF)
        spec.setdefault("completionMode", "NonIndexed")
        spec.setdefault("suspend", False)
        spec.setdefault("manualSelector", False)
        replacement = "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed"
        spec.setdefault("podReplacementPolicy", replacement)
        _default_failure_policy(spec)

    def prepare_create(self, obj: Object) -> None:
        """The selector and the labels that go with it. They depend on the uid, hence on a copy of the spec."""
        WorkloadRules.prepare_create(self, obj)
        spec = obj["spec"]
        if not spec.get("manualSelector"):
            uid, name = uid_of(obj), name_of(obj)
            template = spec["template"]
            labels = {
                LEGACY_NAME_LABEL: name,
                NAME_LABEL: name,
                LEGACY_UID_LABEL: uid,
                UID_LABEL: uid,
                **podspecs.template_labels(template),
            }
            selector = spec.get("selector") or EMPTY
            selected = {UID_LABEL: uid, **(selector.get("matchLabels") or EMPTY)}
            obj["spec"] = spec = {
                **spec,
                "selector": {**selector, "matchLabels": selected},
                "template": {
                    **template,
                    "metadata": {**template["metadata"], "labels": dict(sorted(labels.items()))},
                },
            }
        # upstream fills in the labels whenever it reads a job
        if not labels_of(obj) and (labels := dict(podspecs.template_labels(spec["template"]))):
            obj["metadata"]["labels"] = labels

    def prepare_update(self, new: Object, old: Mapping[str, Any], subresource: str) -> None:
        """As of any workload; labels are filled in again."""
        WorkloadRules.prepare_update(self, new, old, subresource)
        labels = podspecs.template_labels(new["spec"].get("template") or EMPTY)
        if labels and not labels_of(new):
            new["metadata"]["labels"] = dict(labels)

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """The generated selector, then the spec."""
        spec = obj["spec"]
        errors = [] if spec.get("manualSelector") else _generated(obj, spec)
        errors += validate_job_spec("spec", spec)
        selector = spec.get("selector")
        if selector is None:
            errors.append(required("spec.selector"))
        wrong = labelselectors.validate("spec.selector", selector)
        errors += wrong
        if not wrong:
            errors += mismatch(spec)
        completions = spec.get("completions") or 0
        if spec.get("completionMode") == "Indexed" and completions > 0:
            host = f"{name_of(obj)}-{completions - 1}"
            if names.label(host):
                text = f"will not able to create pod with invalid DNS label: {host}"
                errors.append(invalid("metadata.name", name_of(obj), text))
        return errors

    def validate_frozen(self, new: Json, old: Json) -> list[FieldError]:
        """A job's pods are all alike; one that has not started may still be told where to run."""
        errors = []
        if new.get("completions") != old.get("completions"):
            errors += _completions(new)
        waiting = old.get("suspend") and new.get("suspend")
        for key in _FROZEN:
            wanted, before = new.get(key), old.get(key)
            if key == "template" and waiting:
                wanted, before = _unscheduled(wanted or EMPTY), _unscheduled(before or EMPTY)
            if wanted != before:
                value = labelselectors.shown(wanted) if key == "selector" else wanted
                errors.append(immutable(f"spec.{key}", value))
        return errors

    def validate_status(self, status: Json) -> list[FieldError]:
        """Counts are counts; a job does not succeed and fail."""
        keys = ("active", "succeeded", "failed", "ready", "terminating")
        errors = nonnegative(status, "status", *keys)
        true = {
            item.get("type")
            for item in status.get("conditions") or ()
            if item.get("status") == "True"
        }
        if {"Complete", "Failed"} <= true:
            text = "cannot set Complete=True and Failed=true conditions"
            errors.append(FieldError("status.conditions", Cause.INVALID, f"Invalid value: {text}"))
        return errors


def _default_failure_policy(spec: Json) -> None:
    for rule in (spec.get("podFailurePolicy") or EMPTY).get("rules") or ():
        for condition in rule.get("onPodConditions") or ():
            condition.setdefault("status", "True")


def _generated(obj: Json, spec: Json) -> list[FieldError]:
    selector = spec.get("selector")
    if selector is None:
        return []
    uid, name = uid_of(obj), name_of(obj)
    wanted = {LEGACY_UID_LABEL: uid, LEGACY_NAME_LABEL: name, UID_LABEL: uid, NAME_LABEL: name}
    labels = podspecs.template_labels(spec.get("template") or EMPTY)
    errors = []
    for key, value in wanted.items():
        field, text = f"spec.template.metadata.labels[{key}]", f"must be '{value}'"
        if key not in labels:
            errors.append(required(field, text))
        elif labels[key] != value:
            errors.append(invalid(field, values.ordered(labels), text))
    if not labelselectors.matches(selector, wanted):
        text = "`selector` not auto-generated"
        errors.append(invalid("spec.selector", labelselectors.shown(selector), text))
    return errors


def _completions(spec: Json) -> list[FieldError]:
    field, wanted = "spec.completions", spec.get("completions")
    if spec.get("completionMode") != "Indexed":
        return [immutable(field, wanted)]
    if wanted is None or wanted == spec.get("parallelism"):
        return []
    return [invalid(field, wanted, "can only be modified in tandem with spec.parallelism")]


def _unscheduled(template: Json) -> dict[str, Any]:
    spec = dict(template.get("spec") or EMPTY)
    for key in _SCHEDULING:
        spec.pop(key, None)
    rest = dict(spec.pop("affinity", None) or EMPTY)
    rest.pop("nodeAffinity", None)
    return {"spec": spec, "affinity": rest}


def validate_job_spec(field: str, spec: Json) -> list[FieldError]:
    """What is wrong with the spec of a job, its selector aside."""
    errors = nonnegative(
        spec, field, "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit",
        "ttlSecondsAfterFinished", "backoffLimitPerIndex", "maxFailedIndexes",
    )  # fmt: skip
    per_index, most_failed = spec.get("backoffLimitPerIndex"), spec.get("maxFailedIndexes")
    if most_failed is not None and per_index is None:
        text = "when maxFailedIndexes is specified"
        errors.append(required(f"{field}.backoffLimitPerIndex", text))
    if (manager := spec.get("managedBy")) is not None:
        errors += values.domain_path(f"{field}.managedBy", manager)
        if len(manager.encode()) > _MANAGER_MAX:
            errors.append(too_long(f"{field}.managedBy", _MANAGER_MAX))
    mode = spec.get("completionMode")
    errors += maybe_one_of(f"{field}.completionMode", mode, _MODES)
    if mode == "Indexed":
        errors += _indexed(field, spec)
    else:
        errors += [
            invalid(f"{field}.{key}", spec[key], "requires indexed completion mode")
            for key in ("backoffLimitPerIndex", "maxFailedIndexes", "successPolicy")
            if spec.get(key) is not None
        ]
    policy = spec.get("podFailurePolicy")
    if policy is not None:
        errors += _failure_policy(f"{field}.podFailurePolicy", policy, spec)
    replacements = ("Failed",) if policy is not None else ("Failed", "TerminatingOrFailed")
    errors += maybe_one_of(
        f"{field}.podReplacementPolicy", spec.get("podReplacementPolicy"), replacements
    )
    template = spec.get("template") or EMPTY
    errors += podspecs.validate_template(f"{field}.template", template)
    restart = (template.get("spec") or EMPTY).get("restartPolicy") or "Always"
    at = f"{field}.template.spec.restartPolicy"
    if restart == "Always":
        errors.append(required(at, 'valid values: "OnFailure", "Never"'))
    elif restart not in ("OnFailure", "Never"):
        errors.append(not_supported(at, restart, ("OnFailure", "Never")))
    elif policy is not None and restart != "Never":
        text = 'only "Never" is supported when podFailurePolicy is specified'
        errors.append(invalid(at, restart, text))
    return errors


def _indexed(field: str, spec: Json) -> list[FieldError]:
    errors = []
    completions, most_failed = spec.get("completions"), spec.get("maxFailedIndexes")
    if completions is None:
        errors.append(required(f"{field}.completions", "when completion mode is Indexed"))
    if (parallelism := spec.get("parallelism") or 0) > _INDEXED_PARALLELISM_MAX:
        text = f"must be less than or equal to {_INDEXED_PARALLELISM_MAX} when completion mode is Indexed"
        errors.append(invalid(f"{field}.parallelism", parallelism, text))
    if completions is not None and most_failed is not None and most_failed > completions:
        text = "must be less than or equal to completions"
        errors.append(invalid(f"{field}.maxFailedIndexes", most_failed, text))
    if (policy := spec.get("successPolicy")) is not None:
        rules = policy.get("rules") or ()
        at = f"{field}.successPolicy.rules"
        if not rules:
            text = "at least one rules must be specified when the successPolicy is specified"
            errors.append(required(at, text))
        if len(rules) > _RULES_MAX:
            errors.append(too_many(at, len(rules), _RULES_MAX))
        text = "at least one of succeededCount or succeededIndexes must be specified"
        errors += [
            required(f"{at}[{index}]", text)
            for index, rule in enumerate(rules)
            if rule.get("succeededCount") is None and rule.get("succeededIndexes") is None
        ]
    return errors


def _failure_policy(field: str, policy: Json, spec: Json) -> list[FieldError]:
    actions = ("Count", "FailIndex", "FailJob", "Ignore")
    rules = policy.get("rules") or ()
    errors: list[FieldError] = []
    if len(rules) > _RULES_MAX:
        errors.append(too_many(f"{field}.rules", len(rules), _RULES_MAX))
    for index, rule in enumerate(rules):
        at, action = f"{field}.rules[{index}]", rule.get("action") or ""
        if not action:
            listed = " ".join(f'"{item}"' for item in actions)
            errors.append(required(f"{at}.action", f"valid values: [{listed}]"))
        elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            text = "requires the backoffLimitPerIndex to be set"
            errors.append(invalid(f"{at}.action", action, text))
        elif action not in actions:
            errors.append(not_supported(f"{at}.action", action, actions))
        if (codes := rule.get("onExitCodes")) is not None:
            operators = ("In", "NotIn")
            errors += one_of(f"{at}.onExitCodes.operator", codes.get("operator"), operators)
            if not codes.get("values"):
                text = "at least one value is required"
                errors.append(invalid(f"{at}.onExitCodes.values", None, text))
    return errors


class CronJobRules(WorkloadRules):
    """Jobs at times."""

    def default(self, obj: Object) -> None:
        """Runs may overlap; a few finished jobs are kept."""
        spec = values.part(obj, "spec")
        template = values.part(spec, "jobTemplate")
        values.part(template, "metadata")
        job = values.part(template, "spec")
        podspecs.default_template(job)
        _default_failure_policy(job)
        spec.setdefault("concurrencyPolicy", "Allow")
        spec.setdefault("suspend", False)
        spec.setdefault("successfulJobsHistoryLimit", 3)
        spec.setdefault("failedJobsHistoryLimit", 1)

    def validate_create(self, obj: Mapping[str, Any], *, namespaced: bool) -> list[FieldError]:
        """A new name leaves room for what its jobs append to it."""
        errors = WorkloadRules.validate_create(self, obj, namespaced=namespaced)
        if len(name := name_of(obj)) > CRON_NAME_MAX:
            text = f"must be no more than {CRON_NAME_MAX} characters"
            errors.append(invalid("metadata.name", name, text))
        return errors

    def validate(self, obj: Mapping[str, Any]) -> list[FieldError]:
        """A new one."""
        return _cron_spec(obj["spec"], None)

    def validate_update(
        self, new: Mapping[str, Any], old: Mapping[str, Any], subresource: str
    ) -> list[FieldError]:
        """Anything may change; what was wrong with the time zone before may stay."""
        if subresource == "status":
            return []
        return _cron_spec(new["spec"], old.get("spec") or EMPTY)


def _cron_spec(spec: Json, old: Json | None) -> list[FieldError]:
    errors = _schedule(spec, old)
    errors += nonnegative(spec, "spec", "startingDeadlineSeconds")
    zone = spec.get("timeZone")
    if (
        zone is not None
        and (old is None or old.get("timeZone") != zone)
        and (text := schedules.zone_complaint(zone))
    ):
        errors.append(invalid("spec.timeZone", zone, text))
    policies = ("Allow", "Forbid", "Replace")
    errors += one_of("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), policies)
    job = (spec.get("jobTemplate") or EMPTY).get("spec") or EMPTY
    field = "spec.jobTemplate.spec"
    errors += validate_job_spec(field, job)
    if (selector := job.get("selector")) is not None:
        text = "`selector` will be auto-generated"
        errors.append(invalid(f"{field}.selector", labelselectors.shown(selector), text))
    if job.get("manualSelector"):
        errors.append(not_supported(f"{field}.manualSelector", True, ("nil", "false")))
    return errors + nonnegative(
        spec, "spec", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"
    )


def _schedule(spec: Json, old: Json | None) -> list[FieldError]:
    field, schedule = "spec.schedule", spec.get("schedule") or ""
    if not schedule:
        return [required(field)]
    errors = []
    if text := schedules.complaint(schedule):
        errors.append(invalid(field, schedule, text))
    if "TZ" in schedule:
        if old is None or "TZ" not in (old.get("schedule") or ""):
            text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            errors.append(invalid(field, schedule, text))
        elif spec.get("timeZone") is not None:
            text = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
            errors.append(invalid(field, schedule, text))
    return errors
