"""The search box of a store: the same question in each retrieval mode, side by side, with scores."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.db.models import Func
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from tenants.desk.pages import desk_page
from tenants.errors import AtriumError
from tenants.groups import check_groups
from tenants.models import Tenant
from tenants.scope import tenant_scope

from ..metering import Payer
from ..models import VectorStoreFile
from ..plain_text import as_read
from ..ports import reranker_names
from ..retrieval import Passage, SearchResult, metered_search
from ..retrieval.questions import DENSE, LEXICAL, MAX_QUERY_CHARACTERS
from .store_page import StorePage

#: Mode → its heading, and what its scores say.
MODES: dict[str, tuple[str, str]] = {
    "hybrid": ("Meaning and words", "What your apps get by default. 1.00 is first in both lists, about 0.50 in one."),
    DENSE: ("Meaning", "How near in meaning: 1.00 says the same, 0 is unrelated."),
    LEXICAL: ("Words", "How well the words match, as a share of the best passage's (BM25)."),
}
_RERANKED = "The model's own judgement of the 40 best passages, from 0 to 1. Its tokens are charged."
#: What a filter's first part may be called, and the API's name for it.
COMPARISONS = {
    "eq": "is", "ne": "is not", "gt": "is more than", "gte": "is at least", "lt": "is less than", "lte": "is at most",
}  # fmt: skip


class SearchForm(forms.Form):
    """A question, in which modes, and as whom."""

    query = forms.CharField(max_length=MAX_QUERY_CHARACTERS)
    modes = forms.MultipleChoiceField(error_messages={"required": "Choose at least one way to search."})
    limit = forms.IntegerField(min_value=1, max_value=20, initial=5)
    groups = forms.CharField(required=False, max_length=2000)
    attribute = forms.CharField(required=False, max_length=64)
    comparison = forms.ChoiceField(required=False, choices=list(COMPARISONS.items()))
    value = forms.CharField(required=False, max_length=512)

    def __init__(self, *args: Any, names: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [*MODES, *names]
        self.fields["modes"].choices = [(name, name) for name in choices]  # type: ignore[attr-defined]

    def options(self) -> dict[str, Any]:
        """What `metered_search` is told beside store, question and ranker.

        Raises:
            InvalidRequest: a group that cannot be one.
        """
        data = self.cleaned_data
        groups = [part.strip() for part in data["groups"].split(",") if part.strip()]
        options: dict[str, Any] = {"limit": data["limit"], "groups": check_groups(groups, param="groups")}
        if data["attribute"]:
            kind = data["comparison"] or "eq"
            options["filters"] = {"type": kind, "key": data["attribute"], "value": _typed(data["value"])}
        return options


def _typed(text: str) -> str | float | int | bool:
    """Attributes are strings, numbers or booleans; a form has strings only."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


@dataclass(frozen=True)
class Hit:
    """A passage as a column shows it; `share` is its score in percent, for the bar, `best` the part that is nearest."""

    filename: str
    best: str
    text: str
    score: str
    share: int
    page: int | None
    link: str


@dataclass(frozen=True)
class Column:
    """What one mode found, or why it could not."""

    heading: str
    explained: str
    hits: list[Hit]
    error: str = ""


@desk_page
class StoreSearch(StorePage):
    """Asks models and charges for it, as the API's search does, so no transaction is held for it."""

    name, path = "store_search", "knowledge/vectorstore/<uuid:store_id>/search/"
    template_name = "desk/store_search.html"
    writes = "view"  # to search is to read
    waits = True

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The empty box."""
        return self._page(SearchForm(names=reranker_names(), initial={"modes": list(MODES), "limit": 5}))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The same question, once for each mode."""
        form = SearchForm(request.POST, names=reranker_names())
        if not form.is_valid():
            return self._page(form, error=" ".join(str(text) for errors in form.errors.values() for text in errors))
        try:
            options = form.options()
        except AtriumError as error:
            return self._page(form, error=error.message)
        return self._page(form, columns=[self._column(form, mode, options) for mode in form.cleaned_data["modes"]])

    def _column(self, form: SearchForm, mode: str, options: dict[str, Any]) -> Column:
        heading, explained = MODES.get(mode, (f"Ranked again by {mode}", _RERANKED))
        try:
            found = metered_search(
                payer=Payer(None, self._currency()),
                now=datetime.now(UTC),
                store_ids=[self.store.id],
                query=form.cleaned_data["query"],
                ranker=mode,
                **options,
            )
        except AtriumError as error:
            return Column(heading, explained, [], error.message)
        return Column(heading, explained, self._hits(found))

    def _currency(self) -> str:
        with tenant_scope() as tenant_id:
            return Tenant.objects.values_list("currency", flat=True).get(id=tenant_id)

    def _hits(self, found: SearchResult) -> list[Hit]:
        return [self._hit(passage) for passage in found.passages]

    def _hit(self, passage: Passage) -> Hit:
        place = passage.matched or passage
        link = reverse("admin:file_preview", args=[passage.file_id])
        return Hit(
            filename=passage.filename,
            best=as_read(passage.text[place.start - passage.start : place.end - passage.start]),
            text=as_read(passage.text),
            score=f"{passage.score:.2f}",
            share=round(100 * min(1.0, passage.score)),
            page=place.page,
            link=f"{link}?store={self.store.id}&start={place.start}&end={place.end}",
        )

    def _page(self, form: SearchForm, *, columns: list[Column] | None = None, error: str = "") -> HttpResponse:
        """Rendered here: the middleware has no scope open for a page that waits."""
        with tenant_scope():
            files = VectorStoreFile.objects.filter(store=self.store)
            shut = files.exclude(allowed_groups=None)
            named = shut.annotate(group=Func("allowed_groups", function="unnest")).values_list("group", flat=True)
            context = self.get_context_data(
                form=form,
                chosen=form["modes"].value() or [],
                modes=[
                    *((name, *words) for name, words in MODES.items()),
                    *((n, n, _RERANKED) for n in reranker_names()),
                ],
                comparisons=COMPARISONS,
                columns=columns,
                error=error,
                restricted=shut[:10_000].count(),
                groups=sorted(set(named[:1000]))[:30],
                searchable=self.store.chunk_count,
            )
            response = TemplateResponse(self.request, self.template_name, context)
            return response.render()
