"""Hooks of schemathesis: what is no fault although it is a 5xx, and a note of what was answered."""

import json

import schemathesis
from schemathesis.core.failures import ServerError
from schemathesis.openapi.checks import MissingHeaderNotRejected, UnsupportedMethodResponse

# Failures that say no more than: it should have been another status.
OF_STATUS = (ServerError, MissingHeaderNotRejected, UnsupportedMethodResponse)

# Why whoever asks may be told to come back later.
REASONS = {"/problems/overloaded", "/problems/timeout", "/problems/unavailable"}

# Operations that were answered, a line each, in the folder where this runs.
ANSWERED = "answered"
answered = set()


def comes_later(case, response):
    """Whether this is the answer to come back later: documented, in its form, and with a when."""
    if response.status_code != 503 or "503" not in map(str, case.operation.responses.status_codes):
        return False
    form, when = (response.headers.get(it, [""])[0] for it in ("content-type", "retry-after"))
    if form != "application/problem+json" or not when.isdecimal():
        return False
    return json.loads(response.content).get("type") in REASONS


@schemathesis.hook
def filter_failure(context, failure, case, response):
    return not (isinstance(failure, OF_STATUS) and comes_later(case, response))


@schemathesis.hook
def after_call(context, case, response):
    """A service that told everybody to come back later would have answered nothing."""
    label = case.operation.label
    is_well_formed = case.meta is not None and case.meta.generation.mode.is_positive
    if is_well_formed and response.status_code != 503 and label not in answered:
        answered.add(label)
        with open(ANSWERED, "a", encoding="utf-8") as file:
            file.write(f"{label}\n")
