"""What a worker refuses of those who write errands."""

from __future__ import annotations

import pytest

from counterpoint.agents.task import AgentTask
from counterpoint.errors import HookError
from counterpoint.workers.wire import Checkout, Errand, refuse_strayed

TASK = AgentTask(id="a1", prompt="do it")
RUN = "wf_1072dc96-6a2"


def test_an_errand_of_a_folder_inside_of_its_commit_is_taken():
    refuse_strayed(Errand(RUN, TASK))
    refuse_strayed(Errand(RUN, TASK, checkout=Checkout("a" * 40, ["b" * 64], "src/lib")))


@pytest.mark.parametrize(
    "errand",
    [
        Errand("../other", TASK),
        Errand(RUN, AgentTask(id="../../home", prompt="do it")),
        Errand(RUN, TASK, checkout=Checkout("a" * 40, [], "../../etc")),
        Errand(RUN, TASK, checkout=Checkout("a" * 40, [], "/etc")),
        Errand(RUN, TASK, checkout=Checkout("--upload-pack=x", [])),
        Errand(RUN, TASK, checkout=Checkout("a" * 40, ["../key"])),
    ],
)
def test_an_errand_whose_names_lead_elsewhere_on_the_workers_machine_is_refused(errand: Errand):
    with pytest.raises(HookError, match="leads out of its run's folder"):
        refuse_strayed(errand)
