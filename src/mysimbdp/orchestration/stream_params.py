"""The trigger form of a stream app's DAG."""

from __future__ import annotations

from airflow.sdk import Param

from mysimbdp.agreements.model import Agreement
from mysimbdp.pipelines.registration import StreamApp
from mysimbdp.streaming.request import Action


def form(agreement: Agreement, app: StreamApp) -> dict[str, Param]:
    """Return the fields of the trigger form; Airflow checks what is typed in."""
    most = agreement.streams.max_instances if agreement.streams else app.instances
    fields = {
        "action": Param(
            Action.START.value,
            type="string",
            enum=[action.value for action in Action],
            title="Action",
            description_md=(
                "- `start`: start the app; the run lasts as long as the app\n"
                "- `stop`: let it finish what it has taken, commit, and end\n"
                "- `scale`: change the number of instances while it runs\n"
                "- `restart`: start all instances anew"
            ),
        ),
        "instances": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=most,
            title="Instances",
            description_md=(
                f"How many processes share the topics, at most {most} as agreed. Empty means "
                f"{app.instances}, as registered. For `start` and `scale`."
            ),
        ),
    }
    if app.script is not None:
        fields["arguments"] = Param(
            list(app.arguments),
            type="array",
            items={"type": "string"},
            title="Arguments",
            description_md="What the script gets on its command line, one a line. For `start`.",
        )
    return fields
