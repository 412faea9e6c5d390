"""The doctor: whether this machine, these files and this configuration are fit for the service.

It looks, and changes nothing. Beyond what the configuration names it asks nobody, unless it is told
to. Each check has an end in time, and one that fails stops no other.
"""

from otpc_policy.app.doctor.examination import Question, examine
from otpc_policy.app.doctor.result import Result, Status, worst

__all__ = ["Question", "Result", "Status", "examine", "worst"]
