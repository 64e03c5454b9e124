"""The live figure in a built page: shared scripts carried once, a static picture beside each figure."""

import html
from urllib.parse import quote

import nbformat

STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"
PICTURE = "image/svg+xml"


def stage(notebook):
    """Turn an executed notebook (nbformat node, changed in place) into what its page carries.

    Behind each live figure comes its static picture, for print and for readers without JavaScript;
    widgets that no cell shows are dropped, and only the first of a kind keeps its script and style.
    """
    shown = set()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [new for output in cell.outputs for new in _with_picture(output, shown)]
    state = notebook.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    carried = set()
    for model_id, model in list(state.items()):
        if "_esm" not in model["state"]:
            continue
        if model_id not in shown:
            del state[model_id]
        elif model["state"]["_anywidget_id"] in carried:
            model["state"].update(_esm="", _css="")
        else:
            carried.add(model["state"]["_anywidget_id"])


def _with_picture(output, shown):
    data = output.get("data", {})
    if VIEW not in data:
        return [output]
    shown.add(data[VIEW]["model_id"])
    if PICTURE not in data:
        return [output]
    told = output.metadata.pop(PICTURE)
    picture = quote(data.pop(PICTURE), safe=" =:/;,.()-_'<>{}*!?@+&")
    figure = (
        f'<figure class="explorer-static" data-for="{html.escape(told["name"])}">'
        f'<img alt="{html.escape(told["alt"])}" src="data:image/svg+xml,{html.escape(picture)}">'
        f"<figcaption>{html.escape(told['caption'])}</figcaption></figure>"
    )
    return [output, nbformat.v4.new_output("display_data", {"text/html": figure, "text/plain": told["alt"]})]
